"""What a PostgreSQL says about itself: whether it is a standby, how far behind, and under which epoch it is the home."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import PGconn, Ping
from psycopg.rows import DictRow, dict_row
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from lorafleet.console.store.home import FIRST_EPOCH, Home
from lorafleet.contracts.problems import ConfigError, StorageError

CONNECT_SECONDS = 3

# A standby that is gone must not hold up the fence, whatever the server waits for at commits otherwise.
_SESSION = "SET statement_timeout = '90s'; SET lock_timeout = '10s'; SET timezone = 'UTC'; SET synchronous_commit = 'local'"
_FACTS = """
    SELECT pg_is_in_recovery() AS in_recovery,
           pg_last_wal_receive_lsn() - pg_last_wal_replay_lsn() AS bytes_unreplayed,
           clock_timestamp() - pg_last_xact_replay_timestamp() AS last_replayed_ago,
           (SELECT status FROM pg_stat_wal_receiver) AS receiver,
           (SELECT setting FROM pg_settings WHERE name = 'primary_conninfo') AS primary_conninfo,
           to_regclass('home') IS NOT NULL AS has_home
"""


@dataclass(frozen=True)
class Server:
    """One look. ``last_replayed_seconds`` is the age of the newest transaction that a standby has, None where it has none.

    ``streaming`` says whether it hears its home now; ``address`` is a libpq string of the home's host and port.
    """

    in_recovery: bool
    streaming: bool
    bytes_unreplayed: int
    last_replayed_seconds: float | None
    address_of_home: str
    home: Home | None

    @property
    def epoch(self) -> int:
        """The home's; a home without a name is in its first."""
        return FIRST_EPOCH if self.home is None else self.home.epoch


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[DictRow]]:
    """A connection that commits each statement.

    Raises:
        ConfigError: the address is not one of PostgreSQL.
        StorageError: it does not answer, or refuses.
    """
    address = plain(url)
    where = place(address)
    try:
        with psycopg.connect(address, autocommit=True, connect_timeout=CONNECT_SECONDS, row_factory=dict_row) as connection:
            connection.execute(_SESSION)
            yield connection
    except psycopg.errors.InsufficientPrivilege as error:
        raise StorageError(
            f"the role may not do this: {_said(error)}", where=where, hint="use the role that owns the console's tables"
        ) from None
    except psycopg.Error as error:
        raise StorageError(f"the database does not answer: {_said(error)}", where=where) from None


def look(connection: psycopg.Connection[DictRow]) -> Server:
    """Read a server's facts."""
    row = connection.execute(_FACTS).fetchone()
    assert row is not None
    ago = row["last_replayed_ago"]
    return Server(
        in_recovery=row["in_recovery"],
        streaming=row["receiver"] == "streaming",
        bytes_unreplayed=int(row["bytes_unreplayed"] or 0),
        last_replayed_seconds=None if ago is None else ago.total_seconds(),
        address_of_home=_address_only(row["primary_conninfo"] or ""),
        home=read_home(connection) if row["has_home"] else None,
    )


def read_home(connection: psycopg.Connection[DictRow]) -> Home | None:
    """The row that names the home."""
    row = connection.execute("SELECT epoch, site, promoted_at, promoted_by FROM home WHERE id = 1").fetchone()
    if row is None:
        return None
    at = datetime.fromtimestamp(row["promoted_at"] / 1_000_000, UTC)
    return Home(row["epoch"], row["site"], at, row["promoted_by"])


def answers(address: str) -> bool:
    """Whether a PostgreSQL answers there, be it by refusing. It needs no password."""
    words = make_conninfo(plain(address), connect_timeout=CONNECT_SECONDS)
    return PGconn.ping(words.encode()) in (Ping.OK, Ping.REJECT)


def plain(url: str) -> str:
    """The address as libpq takes it.

    Raises:
        ConfigError: it is no address of PostgreSQL.
    """
    try:
        if "://" in url:
            parsed = make_url(url)
            if parsed.get_backend_name() != "postgresql":
                raise ConfigError(f"{parsed.get_backend_name()} has no standby", hint="write postgresql://USER@HOST/NAME")
            url = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
        conninfo_to_dict(url)
    except (ArgumentError, ValueError, psycopg.ProgrammingError):
        raise ConfigError("this is no database address", hint="write postgresql://USER@HOST/NAME") from None
    return url


def place(address: str) -> str:
    """Host and port of an address, without what it may hold besides."""
    words = conninfo_to_dict(plain(address))
    return f"{words.get('host', 'localhost')}:{words.get('port', 5432)}"


def _address_only(conninfo: str) -> str:
    words = conninfo_to_dict(conninfo)
    return make_conninfo(**{name: str(words[name]) for name in ("host", "hostaddr", "port") if name in words})


def _said(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines()
    return error.diag.message_primary or (lines[0] if lines else type(error).__name__)
