"""Threads, processes and kills: no job goes to two workers, and what was accepted is there after ``kill -9``."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from console_actors import GRACE, LIFETIME, STABLE, Actors
from console_databases import Clock

from lorafleet.console.store.ledger import SqlLedger, open_ledger
from lorafleet.contracts.job_states import JobState
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.problems import ConfigError, StorageError

ROOT = Path(__file__).parents[4]


def run_together(*calls: object) -> list[BaseException]:
    """Run each in a thread of its own; what they raised."""
    raised: list[BaseException] = []

    def caught(call: object) -> None:
        try:
            call()  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            raised.append(error)

    threads = [threading.Thread(target=caught, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def leasing(ledger: SqlLedger, actors: Actors, name: str, found: list[str]) -> object:
    def lease() -> None:
        misses = 0
        while misses < 3:
            requests = [actors.request(worker=f"{name}-{len(found)}-{each}") for each in range(3)]
            answers = [answer for answer in ledger.dispatcher.lease_many(requests, LIFETIME) if answer]
            found.extend(job.id for job, _, _ in answers)
            misses = 0 if answers else misses + 1

    return lease


def test_threads_never_get_the_same_job(actors: Actors) -> None:
    jobs = {actors.submit().id for _ in range(30)}
    found: list[str] = []
    assert run_together(*(leasing(actors.ledger, actors, f"t{number}", found) for number in range(4))) == []
    assert Counter(found) == Counter(jobs)


def test_two_consoles_on_postgresql_never_give_the_same_job(postgres_url: str, clock: Clock) -> None:
    with_first = open_ledger(postgres_url, clock=clock)
    second = open_ledger(postgres_url, clock=clock)
    actors = Actors(with_first, clock)
    actors.ledger.dispatcher.set_quota("red", 25)
    jobs = {actors.submit().id for _ in range(40)}
    found: list[str] = []
    loops = [leasing(ledger, actors, f"c{number}", found) for number, ledger in enumerate([with_first, second] * 2)]
    assert run_together(*loops) == []
    assert len(set(found)) == len(found) == 25
    assert set(found) < jobs
    assert [row.number for row in with_first.access.audit("red", limit=500).rows] == list(range(42, 0, -1))
    with_first.close()
    second.close()


def test_outcomes_heartbeats_and_a_rollback_at_once(actors: Actors) -> None:
    from console_actors import CANDIDATE

    release = actors.candidate(min_samples=50, watch=False)
    for _ in range(12):
        actors.submit()
    leases = [actors.started("aws", f"c{number}", CANDIDATE) for number in range(12)]

    def beat() -> None:
        for lease in leases:
            try:
                actors.beat(*lease)
                actors.ledger.dispatcher.progress([actors.progress(*lease, 1)])
            except Exception as error:
                if type(error).__name__ != "Fenced":
                    raise

    def end() -> None:
        for lease in leases[::2]:
            try:
                actors.end(*lease, OutcomeClass.RELEASE)
            except Exception as error:
                if type(error).__name__ != "Fenced":
                    raise

    def take_back() -> None:
        actors.ledger.releases.revoke(release, "because", "someone")

    assert run_together(beat, end, take_back, lambda: actors.ledger.dispatcher.expire(GRACE)) == []
    assert {row.state for row in actors.ledger.jobs.page("red").rows} == {JobState.WAITING}


SUBMITTING = """
import sys
from lorafleet.console.domain.records import Submission
from lorafleet.console.store.ledger import open_ledger
ledger = open_ledger(sys.argv[1])
while True:
    print(ledger.jobs.submit("red", Submission("a", sys.argv[2], "v1", {"base_model": "b"}), "someone").id, flush=True)
"""


def test_what_was_accepted_is_there_after_a_kill(database_url: str) -> None:
    ledger = open_ledger(database_url)
    dataset = Actors(ledger, Clock()).dataset
    ledger.close()
    process = subprocess.Popen(
        [sys.executable, "-c", SUBMITTING, database_url, dataset], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    accepted = [process.stdout.readline().strip() for _ in range(20)]
    os.kill(process.pid, signal.SIGKILL)
    accepted += process.stdout.read().split()
    process.wait()
    process.stdout.close()
    ledger = open_ledger(database_url)
    kept = {row.id for row in ledger.jobs.page("red", limit=500).rows}
    assert set(accepted) <= kept
    assert ledger.access.verify_audit("red") >= len(accepted)
    ledger.close()


def test_sqlite_belongs_to_one_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'console.db'}"
    ledger = open_ledger(url)
    with pytest.raises(StorageError, match="another console"):
        open_ledger(url)
    ledger.close()
    open_ledger(url).close()


def test_what_is_no_database() -> None:
    for url in ("", "mysql://x/y", "console.db"):
        with pytest.raises(ConfigError):
            open_ledger(url)
    with pytest.raises(StorageError):
        open_ledger("postgresql://postgres@127.0.0.1:1/none")
    with pytest.raises(StorageError):
        open_ledger("sqlite:////proc/none/console.db")


def test_sqlite_keeps_state_through_a_power_cut_and_checks_its_keys(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'console.db'}")
    for durable, level in ((True, 2), (False, 1)):
        with ledger._database.write(durable) as transaction:
            found = [
                transaction.connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("synchronous", "foreign_keys", "journal_mode")
            ]
        assert found == [level, 1, "wal"]
    ledger.close()


def test_a_failed_transaction_leaves_nothing_and_tells_nothing(actors: Actors) -> None:
    heard: list[object] = []
    actors.ledger.listen(heard.extend)
    before = actors.ledger.access.audit("red").rows
    with pytest.raises(RuntimeError), actors.ledger._database.write() as transaction:
        from lorafleet.console.domain.records import Submission
        from lorafleet.console.store import chain
        from lorafleet.console.store.jobs import enqueue

        chain.append(transaction, "red", "someone", "job.submit", "x")
        enqueue(transaction, "red", Submission("a", actors.dataset, "v1", {"base_model": "b"}), "someone", "x")
        raise RuntimeError
    assert actors.ledger.jobs.page("red").rows == ()
    assert (heard, actors.ledger.access.audit("red").rows) == ([], before)


def test_the_store_is_ready_or_says_so(postgres_url: str, actors: Actors) -> None:
    actors.ledger.ready()
    assert actors.ledger.now() == actors.clock.at
    assert STABLE in str(actors.ledger.dispatcher.desired_workers())


def test_postgresql_gives_the_time(postgres_url: str) -> None:
    ledger = open_ledger(postgres_url)
    first, second = ledger.now(), ledger.now()
    assert first.tzinfo is not None
    assert first < second
    ledger.close()
