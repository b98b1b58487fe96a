#!/bin/sh
# Starts PostgreSQL. An empty volume becomes a new home, or a copy of the home that the standby follows; a volume with data is
# started as it is. Nothing here promotes a server, and nothing deletes data: `lorafleet standby promote` does the one, and the
# file clone-again on the volume has the data moved aside and copied anew.
#
# Environment: ROLE (home or standby), VOLUME, CONFIG, TLS, SECRETS, RUN (folders), SITE, and for a standby HOME_HOST, HOME_PORT.
set -eu
umask 077

DATA="$VOLUME/data"
SLOT=standby

say() { echo "start: $*" >&2; }
fail() { say "error: $*"; exit 1; }

home() { echo "host=$HOME_HOST port=$HOME_PORT user=replication sslmode=verify-full sslrootcert=$TLS/ca.crt passfile=$RUN/passfile"; }

ask_home() { psql "$(home) dbname=postgres replication=true connect_timeout=10" -AtX -c "$1"; }

timeline_here() { LC_ALL=C pg_controldata -D "$DATA" | sed -n "s/^Latest checkpoint's TimeLineID: *//p"; }

check_home() {
  in_recovery=$(ask_home 'SHOW in_hot_standby') || fail "the home $HOME_HOST:$HOME_PORT does not answer"
  [ "$in_recovery" = off ] || fail "$HOME_HOST:$HOME_PORT is a standby itself: name the home that takes writes"
}

new_home() {
  say "the volume is empty: making a new home"
  rm -rf "$DATA.new"
  initdb -D "$DATA.new" -U postgres --auth=reject --encoding=UTF8 --locale=C --data-checksums >&2
  mv "$DATA.new" "$DATA"
}

clone() {
  check_home
  say "copying the home $HOME_HOST:$HOME_PORT"
  rm -rf "$DATA.new"
  pg_basebackup -d "$(home) application_name=clone" -D "$DATA.new" -X stream -S "$SLOT" -c fast >&2
  touch "$DATA.new/standby.signal"
  mv "$DATA.new" "$DATA"
}

clone_again() {
  [ "$ROLE" = standby ] || fail "clone-again: this site's role is home; make it standby in the stack file first"
  check_home
  there=$(ask_home 'IDENTIFY_SYSTEM' | cut -d'|' -f2)
  if [ "$there" -lt "$(timeline_here)" ]; then
    fail "clone-again: $HOME_HOST was promoted less often than this server, which is the home; remove $VOLUME/clone-again"
  fi
  aside="$VOLUME/data.before-$(date -u +%Y%m%dT%H%M%SZ)"
  say "moving the data to $aside; delete it when nobody misses anything"
  mv "$DATA" "$aside"
  clone
  rm "$VOLUME/clone-again"
}

if [ "$ROLE" = standby ]; then sh "$CONFIG/passfile.sh" replication "$SECRETS/replication" "$RUN/passfile"; fi
if [ ! -e "$DATA" ]; then
  if [ "$ROLE" = home ]; then new_home; else clone; fi
elif [ -e "$VOLUME/clone-again" ]; then
  clone_again
fi

set -- -D "$DATA" -c "config_file=$CONFIG/postgresql.conf" -c "hba_file=$CONFIG/pg_hba.conf" \
  -c "ssl_cert_file=$TLS/tls.crt" -c "ssl_key_file=$TLS/tls.key" -c "ssl_ca_file=$TLS/ca.crt" \
  -c 'listen_addresses=*' -c "unix_socket_directories=$RUN" -c "cluster_name=$SITE" "$@"
if [ "$ROLE" = standby ]; then
  set -- "$@" -c "primary_conninfo=$(home)" -c "primary_slot_name=$SLOT"
fi
if [ -e "$DATA/standby.signal" ]; then say "starting as a standby"; else say "starting as a home, which takes writes"; fi
exec postgres "$@"
