#!/bin/sh
# install.sh LOCK: what a lock file names, into the image's virtual environment; for the Dockerfile. Wheels only, each by its hash.
set -eu
venv=/opt/lorafleet/venv
here=$(dirname "$0")
# Compiled files are trusted unseen (unchecked-hash): the dates of their sources become zero with the layer's, and nobody writes here.
export PYTHONHASHSEED=0 PYC_INVALIDATION_MODE=UNCHECKED_HASH UV_COMPILE_BYTECODE=1
export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt UV_NO_BUILD=1 UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
if [ ! -d "$venv" ]; then
  "$here/uv" venv --quiet --python /usr/bin/python3 "$venv"
  # The project's code lies beside the environment, in a layer of its own.
  echo /opt/lorafleet/code > "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/lorafleet.pth"
fi
exec "$here/uv" pip install --quiet --python "$venv/bin/python" --require-hashes -r "$1"
