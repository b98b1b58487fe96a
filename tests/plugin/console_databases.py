"""Fixtures: the console's store on SQLite and on a real PostgreSQL, empty for each test."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from postgres_server import MISSING, PostgresServer, find_binaries

from lorafleet.console.store.ledger import SqlLedger, open_ledger
from lorafleet.console.store.schema import metadata


class Clock:
    """A clock that stands until it is moved on."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the session."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip(MISSING)
    server = PostgresServer(binaries)
    yield server
    server.remove()


@pytest.fixture(scope="session")
def migrated_database(postgres_server: PostgresServer) -> str:
    name = postgres_server.create()
    open_ledger(postgres_server.plain_url(name)).close()
    return postgres_server.plain_url(name)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the tables, to be copied."""
    file = tmp_path_factory.mktemp("migrated") / "console.db"
    open_ledger(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def postgres_url(migrated_database: str) -> str:
    """The address of a database with empty tables. (To empty one takes a tenth of what a new one takes.)"""
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        connection.execute(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY")
    return migrated_database


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database without tables, of the test's own."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'console.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.create()
    yield server.plain_url(name)
    server.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database; each test that asks for it runs on both."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "console.db")
        return f"sqlite:///{tmp_path / 'console.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def clock() -> Clock:
    """What ``ledger`` takes for the time."""
    return Clock()


@pytest.fixture
def ledger(database_url: str, clock: Clock) -> Iterator[SqlLedger]:
    """The store, with a clock that stands."""
    opened = open_ledger(database_url, clock=clock)
    yield opened
    opened.close()
