"""The fence of a home, on one PostgreSQL: what a console of a lower epoch may still do is nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.rows import dict_row

from lorafleet.console.domain.records import SiteRecord, Submission
from lorafleet.console.standby.fencing import fence
from lorafleet.console.store.database import Database, HomeMoved
from lorafleet.console.store.home import Home
from lorafleet.console.store.ledger import SqlLedger, open_ledger
from lorafleet.console.store.queue import FENCES_OF_A_HOME
from lorafleet.console.store.schema import quotas
from lorafleet.contracts.jobs import LeaseRequest, PublishedObject
from lorafleet.contracts.problems import ConfigError, StorageError

IMAGE = f"sha256:{'a' * 64}"
MOVED = Home(2, "gcp", datetime(2026, 1, 1, tzinfo=UTC), "a drill")


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[SqlLedger]:
    opened = open_ledger(postgres_url, site="aws")
    yield opened
    opened.close()


def move(url: str, home: Home = MOVED) -> str:
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        return fence(connection, home)


def end_sessions(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_the_first_console_that_says_its_site_names_the_home(ledger: SqlLedger, postgres_url: str) -> None:
    open_ledger(postgres_url, site="aws").close()
    with pytest.raises(ConfigError, match="home is aws"):
        open_ledger(postgres_url, site="gcp")
    with pytest.raises(ConfigError, match="does not say where it runs"):
        open_ledger(postgres_url)


def test_after_a_move_nothing_is_written_or_read(ledger: SqlLedger, postgres_url: str) -> None:
    ledger.dispatcher.put_site(SiteRecord("s", "local", "here", "store"))
    assert ledger.moved is None
    move(postgres_url)
    for call in (lambda: ledger.dispatcher.set_quota("t", 1), ledger.ready, lambda: ledger.dispatcher.expire(timedelta(0))):
        with pytest.raises(StorageError):
            call()
    with pytest.raises(HomeMoved, match="gcp is the home since 2026-01-01"):
        ledger.dispatcher.set_quota("t", 1)
    assert ledger.moved is not None
    opened = open_ledger(postgres_url, site="gcp")
    assert opened.dispatcher.quota("t") is None
    opened.close()


def test_a_transaction_that_began_before_the_move_is_ended_with_all_it_wrote(ledger: SqlLedger, postgres_url: str) -> None:
    database = Database(postgres_url)
    database.hold(1)
    with pytest.raises(StorageError), database.write() as transaction:
        transaction.add(quotas, {"team": "late", "max_running": 1})
        move(postgres_url)
    database.close()
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM quotas").fetchone() == (0,)


def test_a_lower_or_equal_epoch_changes_nothing(ledger: SqlLedger, postgres_url: str) -> None:
    move(postgres_url, Home(1, "azure", MOVED.promoted_at, "late"))
    opened = open_ledger(postgres_url, site="aws")
    assert opened.moved is None
    opened.close()


def test_two_homes_never_give_out_the_same_fence(ledger: SqlLedger, postgres_url: str) -> None:
    ledger.dispatcher.put_site(SiteRecord("s", "local", "here", "store"))
    ledger.releases.set_stable("trainer", IMAGE, ["s"])
    made = ledger.datasets.create("t", "set", "images", "test")
    ledger.datasets.add_version("t", made.id, "v1", [PublishedObject(key="a", size=1, sha256="0" * 64)], 1, {}, ["store"], "test")
    for _ in range(2):
        ledger.jobs.submit("t", Submission("job", made.id, "v1", {"base_model": "base"}), "test")
    request = LeaseRequest(site="s", worker="w", release=IMAGE, gpus=())
    before = ledger.dispatcher.lease(request, timedelta(seconds=30))
    move(postgres_url)
    opened = open_ledger(postgres_url, site="gcp")
    after = opened.dispatcher.lease(request, timedelta(seconds=30))
    opened.close()
    assert before is not None
    assert after is not None
    assert (before[1], after[1]) == (1, FENCES_OF_A_HOME + 1)


def test_after_the_database_was_away_the_other_site_is_asked_first(postgres_url: str) -> None:
    asked: list[int] = []
    database = Database(postgres_url)
    database.hold(1, lambda: asked.append(1))
    for expected in ([], [1], [1]):
        with database.read():
            pass
        assert asked == expected
        if not asked:
            end_sessions(postgres_url)
    database.close()


def test_while_the_other_site_cannot_be_asked_nothing_goes_on(postgres_url: str) -> None:
    def silent() -> None:
        raise StorageError("nobody knows")

    ledger = open_ledger(postgres_url, site="aws", reassure=silent)
    ledger.ready()
    end_sessions(postgres_url)
    for _ in range(2):
        with pytest.raises(StorageError, match="nobody knows"):
            ledger.ready()
    ledger.close()
