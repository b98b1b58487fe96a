#!/usr/bin/env bash
# Builds what runs pods for real (kubelet, kube-proxy) from the Go modules pinned beside this file, and the program that holds a pod's
# namespaces, into ${ENGINES_HOME:-~/.cache/lorafleet-engines}/bin. containerd, runc and the CNI plugins are Debian's. Needs Go 1.25 or
# newer. About 520 CPU seconds the first time; nothing to do while the pins stay the same.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
home=${ENGINES_HOME:-$HOME/.cache/lorafleet-engines}
bin=$home/bin
version=v1.33.13
pins=$(cat "$here/go.mod" "$here/go.sum" "$here/pause/main.go" | sha256sum | cut -d' ' -f1)

build() { # name package [linker flags]
  if [ -x "$bin/$1" ] && [ "$(cat "$bin/$1.pins" 2>/dev/null)" = "$pins" ]; then
    return 0
  fi
  command -v go >/dev/null || { echo "error: the kubelet is built from source: install Go 1.25 or newer" >&2; exit 1; }
  mkdir -p "$bin"
  echo "building $1 …"
  (cd "$here" && GOFLAGS=-mod=readonly CGO_ENABLED=0 go build -p 2 -trimpath -ldflags "-s -w ${3:-}" -o "$bin/$1.new" "$2")
  mv "$bin/$1.new" "$bin/$1"
  echo "$pins" >"$bin/$1.pins"
}

component=k8s.io/component-base/version
flags="-X $component.gitVersion=$version -X $component.gitMajor=1 -X $component.gitMinor=33"
for name in kubelet kube-proxy; do
  build "$name" "k8s.io/kubernetes/cmd/$name" "$flags"
done
build pause ./pause
