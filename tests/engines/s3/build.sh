#!/usr/bin/env bash
# Builds versitygw, an S3 server, from the Go modules pinned beside this file, into ${ENGINES_HOME:-~/.cache/lorafleet-engines}/bin.
# Needs Go 1.25 or newer. About 100 CPU seconds the first time; nothing to do while the pins stay the same.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
pins=$(cat "$here/go.mod" "$here/go.sum" | sha256sum | cut -d' ' -f1)
what="the S3 server"
. "$here/../go_build.sh"

build versitygw github.com/versity/versitygw/cmd/versitygw
