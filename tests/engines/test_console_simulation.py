"""Ten thousand jobs on a fleet that fails all the time, on SQLite and on a real PostgreSQL."""

from collections.abc import Iterator

import pytest
from console_simulation import simulate
from postgres_server import MISSING, PostgresServer, find_binaries


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    binaries = find_binaries()
    if binaries is None:
        pytest.skip(MISSING)
    server = PostgresServer(binaries)
    yield server
    server.remove()


def test_ten_thousand_jobs_on_sqlite() -> None:
    simulate("sqlite://", 10_000)


@pytest.mark.timeout(900)
def test_ten_thousand_jobs_on_postgresql(server: PostgresServer) -> None:
    simulate(server.plain_url(server.create()), 10_000)
