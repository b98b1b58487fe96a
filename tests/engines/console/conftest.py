"""Consoles as processes over a real PostgreSQL, of which a test may do what it likes."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import MISSING, PostgresServer, find_binaries

from tests.engines.console.fleet import Workers, seeded, workers_for_a_test
from tests.unit.console.api.console_process import Serve, serving


@pytest.fixture(scope="session")
def binaries() -> Path:
    found = find_binaries()
    if found is None:
        pytest.fail(MISSING, pytrace=False)
    return found


@pytest.fixture(scope="module")
def server(binaries: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(binaries)
    yield server
    server.remove()


@pytest.fixture
def database(server: PostgresServer) -> Iterator[str]:
    """A new database's address."""
    name = server.create()
    yield server.plain_url(name)
    server.drop(name)


@pytest.fixture
def serve(tmp_path: Path, database: str) -> Iterator[Serve]:
    with serving(tmp_path, "--database", database) as start:
        yield start


@pytest.fixture
def workers() -> Iterator[Workers]:
    with workers_for_a_test() as started:
        yield started


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    return seeded(request)
