#!/usr/bin/env bash
# Builds what runs pods for real (kubelet, kube-proxy) from the Go modules pinned beside this file, and the program that holds a pod's
# namespaces, into ${ENGINES_HOME:-~/.cache/lorafleet-engines}/bin. containerd, runc and the CNI plugins are Debian's. Needs Go 1.25 or
# newer. About 520 CPU seconds the first time; nothing to do while the pins stay the same.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=v1.33.13
pins=$(cat "$here/go.mod" "$here/go.sum" "$here/pause/main.go" | sha256sum | cut -d' ' -f1)
what="the kubelet"
. "$here/../go_build.sh"

component=k8s.io/component-base/version
flags="-X $component.gitVersion=$version -X $component.gitMajor=1 -X $component.gitMinor=33"
for name in kubelet kube-proxy; do
  build "$name" "k8s.io/kubernetes/cmd/$name" "$flags"
done
build pause ./pause
