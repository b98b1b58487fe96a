"""Fencing a home: after it no console writes there, and nothing that it accepted is missing from what it sends its standby.

The fence is the row of the home, because every transaction of a console begins with reading it. The alternatives are weaker:
``default_transaction_read_only`` is only a session's default and reaches those that are open late, and closing the server's door
ends nothing that is already inside. A transaction that had read the row before it changed is ended by force.
"""

import time
from datetime import UTC, datetime
from typing import LiteralString

import psycopg
from psycopg.rows import DictRow

from lorafleet.console.standby.servers import read_home
from lorafleet.console.store.home import Home
from lorafleet.contracts.problems import StorageError

_END_SECONDS = 10.0
_LOOK_SECONDS = 0.05

_RAISE = """
    INSERT INTO home (id, epoch, site, promoted_at, promoted_by) VALUES (1, %(epoch)s, %(site)s, %(at)s, %(by)s)
    ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, site = excluded.site, promoted_at = excluded.promoted_at,
        promoted_by = excluded.promoted_by
    WHERE home.epoch < excluded.epoch
"""
# A role may end the sessions of its own.
_END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND xact_start < %(before)s
"""


def raise_epoch(connection: psycopg.Connection[DictRow], home: Home) -> bool:
    """Write this home unless one of the same or a higher epoch is there; whether it was written.

    Raises:
        psycopg.Error: the database refused.
    """
    at = int((home.promoted_at - datetime.fromtimestamp(0, UTC)).total_seconds() * 1_000_000)
    values = {"epoch": home.epoch, "site": home.site, "at": at, "by": home.promoted_by}
    return connection.execute(_RAISE, values).rowcount == 1


def fence(connection: psycopg.Connection[DictRow], home: Home) -> str:
    """Let consoles of a lower epoch write no more here, and return the position in the log that holds all they wrote.

    Raises:
        StorageError: an open transaction of theirs does not end.
        psycopg.Error: the database refused.
    """
    raise_epoch(connection, home)
    found = read_home(connection)
    if found is None or found.epoch < home.epoch:
        raise StorageError("the home could not be fenced: its row did not change")
    before = _one(connection, "SELECT clock_timestamp() AS value")
    until = time.monotonic() + _END_SECONDS
    while connection.execute(_END_OTHERS, {"before": before}).fetchall():
        if time.monotonic() > until:
            raise StorageError("the home could not be fenced: a transaction there does not end", hint="stop PostgreSQL there")
        time.sleep(_LOOK_SECONDS)
    # Its commit carries what consoles had left for the next one (synchronous_commit = off) to the disk, and so to the standby.
    connection.execute("UPDATE home SET epoch = epoch")
    return str(_one(connection, "SELECT pg_current_wal_flush_lsn() AS value"))


def _one(connection: psycopg.Connection[DictRow], statement: LiteralString) -> object:
    row = connection.execute(statement).fetchone()
    assert row is not None
    return row["value"]
