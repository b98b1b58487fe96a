# Sourced by the build scripts of engines that are Go programs. They set `here`, the folder of go.mod; `what`, the engine in words; and
# `pins`, which changes when something has to be built anew. Sets `bin`, where the programs go.
bin=${ENGINES_HOME:-$HOME/.cache/lorafleet-engines}/bin

build() { # name package [linker flags]
  if [ -x "$bin/$1" ] && [ "$(cat "$bin/$1.pins" 2>/dev/null)" = "$pins" ]; then
    return 0
  fi
  command -v go >/dev/null || { echo "error: $what is built from source: install Go 1.25 or newer" >&2; exit 1; }
  mkdir -p "$bin"
  echo "building $1 …"
  (cd "$here" && GOFLAGS=-mod=readonly CGO_ENABLED=0 go build -p 2 -trimpath -ldflags "-s -w ${3:-}" -o "$bin/$1.new" "$2")
  mv "$bin/$1.new" "$bin/$1"
  echo "$pins" >"$bin/$1.pins"
}
