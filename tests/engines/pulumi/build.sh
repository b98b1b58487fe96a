#!/usr/bin/env bash
# Builds Pulumi's engine, its Python language host and its Kubernetes provider from the Go modules pinned in the folders beside this
# file, into ${ENGINES_HOME:-~/.cache/lorafleet-engines}/bin. Needs Go 1.25 or newer and Python 3.
# About 1,120 CPU seconds and 3.2 GiB of memory the first time; nothing to do while the pins stay the same.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
home=${ENGINES_HOME:-$HOME/.cache/lorafleet-engines}
bin=$home/bin
export GOFLAGS=-mod=readonly
engine=3.200.0
# The newest host whose sources are whole in its module.
host=3.70.0
provider=4.18.1

stale() { # name folder
  pins=$(cat "$here/$2"/go.* "$here/build.sh" | sha256sum | cut -d' ' -f1)
  if [ -x "$bin/$1" ] && [ "$(cat "$bin/$1.pins" 2>/dev/null)" = "$pins" ]; then
    return 1
  fi
  command -v go >/dev/null || { echo "error: Pulumi is built from source: install Go 1.25 or newer" >&2; exit 1; }
  mkdir -p "$bin"
  echo "building $1 …"
}

build() { # name folder package linker-flags
  (cd "$2" && go build -p 2 -trimpath -ldflags "-s -w $4" -o "$bin/$1.new" "$3")
  mv "$bin/$1.new" "$bin/$1"
  echo "$pins" >"$bin/$1.pins"
}

sources() { # folder module
  (cd "$here/$1" && go mod download "$2" && go list -m -f '{{.Dir}}' "$2")
}

version=github.com/pulumi/pulumi/sdk/v3/go/common/version.Version
if stale pulumi engine; then
  build pulumi "$here/engine" github.com/pulumi/pulumi/pkg/v3/cmd/pulumi "-X $version=v$engine"
fi

if stale pulumi-language-python language_host; then
  scripts=$(sources engine github.com/pulumi/pulumi/sdk/v3)/python
  install -m 755 "$scripts/cmd/pulumi-language-python-exec" "$scripts/dist/pulumi-resource-pulumi-python" \
    "$scripts/dist/pulumi-analyzer-policy-python" "$bin/"
  build pulumi-language-python "$here/language_host" github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python "-X $version=v$host"
fi

if stale pulumi-resource-kubernetes kubernetes_provider; then
  module=github.com/pulumi/pulumi-kubernetes/provider/v4
  folder=$(sources kubernetes_provider $module)/cmd/pulumi-resource-kubernetes
  work=$home/build/pulumi-kubernetes
  mkdir -p "$work"
  cp "$here"/kubernetes_provider/* "$work/"
  python3 - "$folder" "$work" $provider <<'EMBED'
import json, pathlib, sys
source, target = map(pathlib.Path, sys.argv[1:3])
schema = json.loads((source / "schema.json").read_text())
(target / "schema-embed.json").write_text(json.dumps({**schema, "version": sys.argv[3]}, separators=(",", ":")))
mapping = json.loads((source / "terraform-mapping.json").read_text())
(target / "terraform-mapping-embed.json").write_text(json.dumps(mapping, separators=(",", ":")))
EMBED
  CGO_ENABLED=0 build pulumi-resource-kubernetes "$work" . "-X $module/pkg/version.Version=$provider"
fi
