#!/bin/sh
# passfile.sh USER SECRET FILE: libpq reads a password only from a file that nobody else may read, which a mounted Secret is not.
set -eu
umask 077
printf '*:*:*:%s:%s\n' "$1" "$(sed 's/[\\:]/\\&/g' "$2")" > "$3.new"
mv "$3.new" "$3"
