#!/usr/bin/env bash
# Builds versitygw, an S3 server, from the Go modules pinned beside this file, into ${ENGINES_HOME:-~/.cache/lorafleet-engines}/bin.
# Needs Go 1.25 or newer. About 100 CPU seconds the first time; nothing to do while the pins stay the same.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=${ENGINES_HOME:-$HOME/.cache/lorafleet-engines}/bin
pins=$(cat "$here/go.mod" "$here/go.sum" | sha256sum | cut -d' ' -f1)
if [ -x "$bin/versitygw" ] && [ "$(cat "$bin/versitygw.pins" 2>/dev/null)" = "$pins" ]; then
  exit 0
fi
command -v go >/dev/null || { echo "error: the S3 server is built from source: install Go 1.25 or newer" >&2; exit 1; }
mkdir -p "$bin"
echo "building versitygw …"
(cd "$here" && GOFLAGS=-mod=readonly CGO_ENABLED=0 go build -p 2 -trimpath -ldflags "-s -w" -o "$bin/versitygw.new" github.com/versity/versitygw/cmd/versitygw)
mv "$bin/versitygw.new" "$bin/versitygw"
echo "$pins" >"$bin/versitygw.pins"
