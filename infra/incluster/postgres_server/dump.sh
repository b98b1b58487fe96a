#!/bin/sh
# A dump of the console's database, whole or not at all; the newest KEEP are kept.
# Environment: CONFIG, DUMPS, TLS, SECRETS, RUN (folders), HOST, KEEP (number).
set -eu
umask 077

sh "$CONFIG/passfile.sh" fleet "$SECRETS/console" "$RUN/passfile"
export PGPASSFILE="$RUN/passfile" PGSSLMODE=verify-full PGSSLROOTCERT="$TLS/ca.crt"

name="fleet-$(date -u +%Y%m%dT%H%M%SZ).dump"
pg_dump -h "$HOST" -U fleet -d fleet -Fc -f "$DUMPS/$name.part"
pg_restore -l "$DUMPS/$name.part" > /dev/null
mv "$DUMPS/$name.part" "$DUMPS/$name"
echo "dump: wrote $name" >&2

rm -f "$DUMPS"/*.part
# shellcheck disable=SC2012  # The names are this script's own.
ls -1 "$DUMPS" | grep '^fleet-.*\.dump$' | sort -r | tail -n "+$((KEEP + 1))" | while read -r old; do rm -f "$DUMPS/$old"; done
