#!/usr/bin/env bash
# Fetches Orca's jars (pom.xml) and a Redis server from Maven Central and compiles the bootstrap and stages of src/, all into
# ${ENGINES_HOME:-~/.cache/lorafleet-engines}/orca. Needs a JDK 17 and Maven. Nothing to do while nothing changed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${ENGINES_HOME:-$HOME/.cache/lorafleet-engines}/orca
redis=com.github.codemonstur:embedded-redis:1.4.3
mkdir -p "$work"
for tool in mvn javac; do
  command -v "$tool" >/dev/null || { echo "error: Orca is compiled here: install a JDK 17 and Maven ($tool is not on PATH)" >&2; exit 1; }
done

pins=$(sha256sum <"$here/pom.xml" | cut -d' ' -f1)
if [ ! -d "$work/lib" ] || [ "$(cat "$work/lib.pins" 2>/dev/null)" != "$pins" ]; then
  echo "fetching Orca …"
  rm -rf "$work/lib.new"
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$work/lib.new" -DincludeScope=runtime
  rm -f "$work/lib.new/servlet-api-2.5.jar" # an older copy of what javax.servlet-api holds
  rm -rf "$work/lib"
  mv "$work/lib.new" "$work/lib"
  echo "$pins" >"$work/lib.pins"
fi

if ! command -v redis-server >/dev/null && [ ! -x "$work/redis-server" ]; then
  case $(uname -m) in x86_64) machine=amd64 ;; aarch64) machine=arm64 ;; *) machine=$(uname -m) ;; esac
  echo "fetching Redis …"
  mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:2.8:copy -Dartifact=$redis -DoutputDirectory="$work/redis"
  (cd "$work/redis" && jar xf embedded-redis-*.jar)
  install -m 755 "$(find "$work/redis" -name "redis-server-*-linux-$machine")" "$work/redis-server"
  rm -rf "$work/redis"
fi

sources=$(cat "$here"/src/engine/*.java "$work/lib.pins" | sha256sum | cut -d' ' -f1)
if [ "$(cat "$work/classes.pins" 2>/dev/null)" != "$sources" ]; then
  rm -rf "$work/classes.new"
  mkdir "$work/classes.new"
  javac -nowarn -Xlint:none -parameters -cp "$(printf '%s:' "$work"/lib/*.jar)" -d "$work/classes.new" "$here"/src/engine/*.java
  rm -rf "$work/classes"
  mv "$work/classes.new" "$work/classes"
  echo "$sources" >"$work/classes.pins"
fi
