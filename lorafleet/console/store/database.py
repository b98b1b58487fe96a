"""Connections, transactions and clocks of the two databases.

SQLite: one process, which a lock file holds the others to; writers take turns at one lock, because SQLite's own waiting starves
them. What must survive a power cut is written with ``synchronous=FULL``; progress and heartbeats with ``NORMAL``, which a killed
process loses nothing of either. PostgreSQL: several consoles, which agree on the database's clock, and which the epoch of the
database's home fences: every transaction begins with reading both.
"""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy import (
    URL,
    Connection,
    CursorResult,
    Engine,
    Executable,
    Insert,
    Table,
    Update,
    bindparam,
    create_engine,
    event,
    insert,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import StaticPool

from lorafleet.console.domain.records import EventKind
from lorafleet.console.store import schema
from lorafleet.contracts.problems import ConfigError, StorageError

Listener = Callable[[Sequence[tuple[str, EventKind]]], None]
Row = Mapping[str, Any]

_WAIT_MS = 10_000
_MOMENT = text("SELECT clock_timestamp() AS at, coalesce((SELECT epoch FROM home WHERE id = 1), 1) AS epoch")


class HomeMoved(StorageError):
    """Another site is the home by now. Nothing more is read or written here, and this console must end."""


class Transaction:
    """One transaction: its connection, its time, the epoch of its home, and the events that are written at its end."""

    def __init__(self, connection: Connection, now: datetime, epoch: int = 1) -> None:
        self.connection = connection
        self.now = now
        self.epoch = epoch
        self.postgres = connection.dialect.name == "postgresql"
        self._events: list[dict[str, Any]] = []
        self._at_end: dict[str, list[Callable[[], None]]] = {}

    def execute(self, statement: Executable, rows: Sequence[Mapping[str, Any]] | None = None) -> CursorResult[Any]:
        """Run a statement, once for each of ``rows`` where they are given."""
        return self.connection.execute(statement, rows)

    def one(self, statement: Executable, values: Row | None = None) -> Row | None:
        """The only row, or None."""
        return cast("Row | None", self.connection.execute(statement, values).mappings().one_or_none())

    def row(self, statement: Executable, values: Row | None = None) -> Row:
        """The row that must be there."""
        return cast("Row", self.connection.execute(statement, values).mappings().one())

    def number(self, statement: Executable) -> int:
        """The one number that a counting statement gives."""
        return int(self.connection.execute(statement).scalar_one())

    def all(self, statement: Executable, values: Row | None = None) -> Sequence[Row]:
        """Every row."""
        return cast("Sequence[Row]", self.connection.execute(statement, values).mappings().all())

    def add(self, table: Table, *rows: Row) -> None:
        """Insert rows that have the same columns."""
        self.connection.execute(_insert(table), rows if len(rows) > 1 else rows[0])

    def change(self, table: Table, key: Row, values: Row) -> None:
        """Update the rows with this key. (The statement is made once: making one costs more than running it.)"""
        self.connection.execute(_update(table, tuple(key)), {**{f"key_{name}": key[name] for name in key}, **values})

    def change_each(self, table: Table, key: str, rows: Sequence[Row]) -> None:
        """Update one row for each of ``rows``, which have the same columns and name it by ``key``."""
        values = [{**{name: row[name] for name in row if name != key}, f"key_{key}": row[key]} for row in rows]
        self.connection.execute(_update(table, (key,)), values)

    def event(self, job: Row, kind: EventKind, fence: int = 0, at: datetime | None = None, **details: Any) -> None:
        """Note what happened to a job."""
        self._events.append(
            {"team": job["team"], "job": job["id"], "kind": kind, "at": at or self.now, "fence": fence, "details": details}
        )

    def at_end(self, team: str, write: Callable[[], None]) -> None:
        """Write something in the team's own order, as the last thing of the transaction."""
        self._at_end.setdefault(team, []).append(write)

    @property
    def happened(self) -> Sequence[tuple[str, EventKind]]:
        """The events so far."""
        return [(each["job"], each["kind"]) for each in self._events]

    def finish(self) -> None:
        """Write what was put off. Numbers must not be seen out of order, or a reader that asks for what came after one misses
        some: whoever numbers things of a team waits for the others of it, for the moment until the commit."""
        if self.postgres:
            for team in sorted({each["team"] for each in self._events} | set(self._at_end)):
                self.connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _lock_key(team)})
        if self._events:
            self.add(schema.events, *self._events)
        for writes in self._at_end.values():
            for write in writes:
                write()


class Database:
    """Where transactions come from."""

    def __init__(self, url: str, clock: Callable[[], datetime] | None = None) -> None:
        self._clock = clock
        self._listeners: list[Listener] = []
        self._turn: threading.Lock | None = None
        self._process_lock: int | None = None
        self._epoch: int | None = None
        self._reassure: Callable[[], None] = _nothing_to_ask
        self._in_doubt = False
        self.moved: HomeMoved | None = None
        try:
            self._url = make_url(url)
        except (ArgumentError, ValueError):
            raise ConfigError("this is no database address", hint="write sqlite:///FILE or postgresql://HOST/NAME") from None
        if self._url.get_backend_name() == "postgresql":
            self.postgres = True
            self._durable = self._quick = self._reading = _postgres(self._url)
            event.listen(self._durable, "invalidate", self._lost)
        elif self._url.get_backend_name() == "sqlite":
            self.postgres = False
            self._open_sqlite()
        else:
            raise ConfigError(f"{self._url.get_backend_name()} is no database of the console", hint="use sqlite or postgresql")

    def _open_sqlite(self) -> None:
        self._turn = threading.Lock()
        path = self._url.database
        if path in (None, "", ":memory:"):
            self._durable = self._quick = self._reading = _sqlite(self._url, "NORMAL", begin="BEGIN IMMEDIATE", shared=True)
            return
        self._process_lock = _only_process(Path(f"{path}.lock"))
        self._durable = _sqlite(self._url, "FULL", begin="BEGIN IMMEDIATE")
        self._quick = _sqlite(self._url, "NORMAL", begin="BEGIN IMMEDIATE")
        self._reading = _sqlite(self._url, "NORMAL", begin="BEGIN")

    @property
    def engine(self) -> Engine:
        """For migrations."""
        return self._durable

    def hold(self, epoch: int, reassure: Callable[[], None] | None = None) -> None:
        """From now on refuse every transaction once the home has another epoch than this.

        ``reassure`` asks the other site whether it was promoted, and raises where it was or cannot be asked. It is called before
        the first transaction after the database was away, since that is when people promote.
        """
        self._epoch = epoch
        self._reassure = reassure or _nothing_to_ask

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` after each commit of this process that wrote events, in the writer's thread; the answer ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @contextmanager
    def write(self, durable: bool = True) -> Iterator[Transaction]:
        """A transaction that is committed at the end, or rolled back where the block raises.

        Raises:
            HomeMoved: another site is the home.
            StorageError: the database does not answer or refuses.
        """
        with self._taking_turns(), self._plain_errors(), (self._durable if durable else self._quick).begin() as connection:
            if self.postgres and not durable:
                connection.execute(text("SET LOCAL synchronous_commit = off"))
            transaction = self._begin(connection)
            yield transaction
            transaction.finish()
        if happened := transaction.happened:
            for listener in tuple(self._listeners):
                listener(happened)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that sees one state and writes nothing. Raises as :meth:`write`."""
        shared = self._turn is not None and self._reading is self._durable
        with self._taking_turns() if shared else _nothing(), self._plain_errors(), self._reading.begin() as connection:
            yield self._begin(connection)

    def now(self) -> datetime:
        """The clock that deadlines are measured with."""
        if self._clock is None and self.postgres:
            with self.read() as transaction:
                return transaction.now
        return self.about_now()

    def about_now(self) -> datetime:
        """This machine's clock, for what need not agree with other consoles; it asks nobody."""
        return self._clock() if self._clock is not None else datetime.now(UTC)

    def close(self) -> None:
        """End all connections."""
        for engine in {self._durable, self._quick, self._reading}:
            engine.dispose()
        if self._process_lock is not None:
            os.close(self._process_lock)
            self._process_lock = None

    def _begin(self, connection: Connection) -> Transaction:
        if not self.postgres:
            return Transaction(connection, self.about_now())
        if self._epoch is None:
            # The table may still have to be made.
            return Transaction(connection, datetime.now(UTC))
        if self._in_doubt:
            self._reassure()
            self._in_doubt = False
        found = connection.execute(_MOMENT).one()
        if found.epoch != self._epoch:
            self.moved = _moved(connection, self._epoch)
            raise self.moved
        return Transaction(connection, self._clock() if self._clock is not None else found.at.astimezone(UTC), self._epoch)

    def _lost(self, *_: object) -> None:
        self._in_doubt = True

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeout:
            raise StorageError("the database does not answer in time", hint="see the database's own log") from None
        except DBAPIError as error:
            if isinstance(error.orig, ReadOnlySqlTransaction):
                raise StorageError("the database is a standby", hint="'lorafleet standby promote' makes it the home") from None
            self._in_doubt = self._in_doubt or isinstance(error, OperationalError)
            # The statement and its parameters may hold what no log should.
            raise StorageError(f"the database refused: {type(error.orig).__name__}", hint="see the database's own log") from error

    @contextmanager
    def _taking_turns(self) -> Iterator[None]:
        if self._turn is None:
            yield
            return
        with self._turn:
            yield


@cache
def _insert(table: Table) -> Insert:
    return insert(table)


@cache
def _update(table: Table, key: tuple[str, ...]) -> Update:
    return update(table).where(*(table.c[name] == bindparam(f"key_{name}") for name in key))


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _nothing_to_ask() -> None:
    pass


def _moved(connection: Connection, held: int) -> HomeMoved:
    row = connection.execute(select(schema.home)).mappings().one_or_none()
    if row is None:
        return HomeMoved("the database has lost the row of its home", hint="restore it, and start the console again")
    return HomeMoved(
        f"{row['site']} is the home since {row['promoted_at']:%Y-%m-%d %H:%M:%S} UTC (epoch {row['epoch']});"
        f" this console was started under epoch {held} and writes nothing more",
        hint=f"use the console of {row['site']}",
    )


def _postgres(url: URL) -> Engine:
    # Every list here is read in the order of an index. Without fresh statistics, such as after a large batch was submitted, the planner
    # would rather sort the whole queue at each lease.
    settings = {
        "lock_timeout": _WAIT_MS, "statement_timeout": 30_000, "idle_in_transaction_session_timeout": 60_000, "timezone": "UTC",
        "enable_sort": "off", "enable_bitmapscan": "off", "jit": "off",
    }  # fmt: skip
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=8,
        max_overflow=8,
        pool_timeout=_WAIT_MS / 1000,
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",
        # Where the network swallows everything, the kernel gives up after the same time as a lock does.
        connect_args={"connect_timeout": 5, "tcp_user_timeout": _WAIT_MS, "options": options},
    )


def _sqlite(url: URL, synchronous: str, begin: str, shared: bool = False) -> Engine:
    # Without isolation_level=None Python begins transactions by itself, and only at the first write.
    options: dict[str, Any] = {"connect_args": {"isolation_level": None, "check_same_thread": False, "timeout": _WAIT_MS / 1000}}
    if shared:
        options["poolclass"] = StaticPool
    engine = create_engine(url, **options)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _only_process(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"cannot open the database's lock file: {error.strerror}", where=str(path)) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StorageError(
            "another console has this SQLite database open", where=str(path), hint="stop it, or use PostgreSQL for several consoles"
        ) from None
    return descriptor


def _lock_key(team: str) -> int:
    return int.from_bytes(sha256(f"lorafleet team {team}".encode()).digest()[:8], "big", signed=True)
