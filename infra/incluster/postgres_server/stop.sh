#!/bin/sh
# Ends PostgreSQL in order, without waiting for its clients, which SIGTERM alone would.
set -eu
pg_ctl stop -D "$VOLUME/data" -m fast -t 100
