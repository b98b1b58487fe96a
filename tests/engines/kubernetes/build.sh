#!/usr/bin/env bash
# Builds a Kubernetes control plane (etcd, apiserver, controller-manager, scheduler) and kwok, which simulates its nodes, from the Go
# modules pinned beside this file, into ${ENGINES_HOME:-~/.cache/lorafleet-engines}/bin. Needs Go 1.25 or newer.
# About 740 CPU seconds the first time; nothing to do while the pins stay the same.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=v1.33.3
pins=$(cat "$here/go.mod" "$here/go.sum" | sha256sum | cut -d' ' -f1)
what="the Kubernetes control plane"
. "$here/../go_build.sh"

component=k8s.io/component-base/version
flags="-X $component.gitVersion=$version -X $component.gitMajor=1 -X $component.gitMinor=33"
for name in kube-apiserver kube-controller-manager kube-scheduler; do
  build "$name" "k8s.io/kubernetes/cmd/$name" "$flags"
done
build etcd go.etcd.io/etcd/server/v3
build kwok sigs.k8s.io/kwok/cmd/kwok
command -v kubectl >/dev/null || { echo "error: the engine tests call kubectl: install it (1.31 to 1.34)" >&2; exit 1; }
