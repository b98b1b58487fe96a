#!/bin/sh
# Runs beside PostgreSQL: gives the roles the passwords of the Secret, has renewed certificates read, and keeps the slot of the
# standby. It acts when something changed, and again when the server becomes the home.
#
# Environment: CONFIG, TLS, SECRETS, RUN (folders), ROLE, and EVERY (seconds between two looks).
set -eu
umask 077

# Without it the pod would wait for its whole grace period.
trap 'exit 0' TERM
done_roles=
done_files=

sql() { psql "host=$RUN user=postgres dbname=postgres" -AtqX -v ON_ERROR_STOP=1 "$@"; }

while :; do
  roles="$(sql -c 'SELECT pg_is_in_recovery()' 2>/dev/null || echo silent) $(cat "$SECRETS/console" "$SECRETS/replication" | cksum)"
  case "$roles" in
    "$done_roles" | silent*) ;;
    t*) done_roles=$roles ;;
    *) if sql -f "$CONFIG/roles.sql" >/dev/null; then echo "steward: roles are up to date" >&2; done_roles=$roles; fi ;;
  esac

  files=$(cat "$TLS/tls.crt" "$TLS/tls.key" "$TLS/ca.crt" "$SECRETS/replication" | cksum)
  if [ "$files" != "$done_files" ]; then
    if [ "$ROLE" = standby ]; then sh "$CONFIG/passfile.sh" replication "$SECRETS/replication" "$RUN/passfile"; fi
    if sql -c 'SELECT pg_reload_conf()' >/dev/null 2>&1; then
      [ -z "$done_files" ] || echo "steward: certificates and passwords are read anew" >&2
      done_files=$files
    fi
  fi
  sleep "$EVERY" &
  wait $!
done
