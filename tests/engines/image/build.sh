#!/usr/bin/env bash
# Makes a base for the Dockerfile where NVIDIA's images cannot be pulled: Debian's smallest system, as localhost/lorafleet-base:bookworm
# in buildah's storage. Needs root, debootstrap and buildah; about a minute the first time. It stands in for NVIDIA's base in the tests.
set -euo pipefail
image=localhost/lorafleet-base:bookworm
for program in buildah debootstrap; do
  command -v "$program" >/dev/null || { echo "error: the image tests need $program: apt-get install $program" >&2; exit 1; }
done
if buildah inspect --type image "$image" >/dev/null 2>&1; then
  exit 0
fi
archive=${ENGINES_HOME:-$HOME/.cache/lorafleet-engines}/base-bookworm.tar.gz
if [ ! -e "$archive" ]; then
  echo 'making a Debian base image …'
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  debootstrap --variant=minbase --include=ca-certificates bookworm "$scratch" >"$scratch.log" 2>&1 || { tail -5 "$scratch.log" >&2; exit 1; }
  rm -rf "$scratch.log" "$scratch"/var/cache/apt/* "$scratch"/var/lib/apt/lists/*
  mkdir -p "$(dirname "$archive")"
  tar -C "$scratch" --numeric-owner --sort=name --mtime=@0 -czf "$archive.new" .
  mv "$archive.new" "$archive"
fi
container=$(buildah from scratch)
buildah add --quiet "$container" "$archive" / >/dev/null
buildah config --cmd /bin/bash "$container"
buildah commit --quiet --rm --timestamp 0 "$container" "$image" >/dev/null
