"""What is forgotten and what never is, on both databases."""

from dataclasses import replace
from datetime import timedelta

import pytest
from console_actors import CANDIDATE, GRACE, Actors
from sqlalchemy import func, select

from lorafleet.console.domain.records import Submission
from lorafleet.console.store import retention
from lorafleet.console.store.database import Database
from lorafleet.console.store.schema import attempts, events, jobs, keys, logs
from lorafleet.contracts.jobs import JobKind, LogLines
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.release import ReleaseState

KEEP = timedelta(days=30)


def database(actors: Actors) -> Database:
    return actors.ledger._database


def rows(actors: Actors, table: object) -> int:
    with database(actors).read() as transaction:
        return transaction.number(select(func.count()).select_from(table))  # type: ignore[arg-type]


def trained(actors: Actors, worker: str = "w1") -> str:
    job = actors.submit().id
    found, fence = actors.started(worker=worker)
    assert found == job
    actors.ledger.dispatcher.progress([actors.progress(job, fence, step) for step in range(1, 8)])
    actors.ledger.dispatcher.log(LogLines(job=job, fence=fence, first=0, lines=("one", "two")))
    actors.publish(job, fence, 7)
    actors.end(job, fence, OutcomeClass.SUCCEEDED, 7)
    return job


def forget_all(actors: Actors) -> int:
    batches = 1
    while actors.ledger.upkeep.forget(KEEP):
        batches += 1
    return batches


def test_events_and_log_of_an_old_job_go_and_where_its_weights_come_from_stays(actors: Actors) -> None:
    job = trained(actors)
    before = (
        actors.ledger.jobs.get("red", job),
        actors.ledger.jobs.attempts("red", job),
        actors.ledger.jobs.checkpoints("red", job),
        actors.ledger.access.audit("red"),
    )
    actors.clock.advance(KEEP.total_seconds() - 1)
    forget_all(actors)
    assert len(actors.ledger.jobs.events("red", job)) > 7
    assert actors.ledger.jobs.log("red", job) == ["one", "two"]
    actors.clock.advance(1)
    forget_all(actors)
    assert actors.ledger.jobs.events("red", job) == []
    assert actors.ledger.jobs.log("red", job) == []
    now = actors.ledger.jobs.get("red", job)
    assert now.forgotten_at == actors.clock.at
    assert before == (
        replace(now, forgotten_at=None),
        actors.ledger.jobs.attempts("red", job),
        actors.ledger.jobs.checkpoints("red", job),
        actors.ledger.access.audit("red"),
    )
    assert actors.ledger.access.verify_audit("red") == len(before[3].rows)


def test_a_job_that_is_not_over_keeps_everything(actors: Actors) -> None:
    actors.submit()
    job, fence = actors.started()
    actors.ledger.dispatcher.progress([actors.progress(job, fence, 1)])
    actors.submit()
    there = rows(actors, events)
    actors.clock.advance(KEEP.total_seconds() * 3)
    forget_all(actors)
    assert rows(actors, events) == there


def test_batches_are_small_and_again_is_harmless(actors: Actors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "EVENTS", 10)
    monkeypatch.setattr(retention, "JOBS", 2)
    for number in range(5):
        trained(actors, f"w{number}")
    young = actors.submit().id
    actors.clock.advance(KEEP.total_seconds())
    total, batches, more = rows(actors, events), 0, True
    while more:
        left = rows(actors, events)
        more = actors.ledger.upkeep.forget(KEEP)
        assert left - rows(actors, events) <= 10
        batches += 1
    assert batches > total // 10
    assert (rows(actors, events), rows(actors, logs), rows(actors, jobs)) == (1, 0, 6)
    assert [event.job for event in actors.ledger.jobs.events("red", young)] == [young]
    assert forget_all(actors) == 1


def probed(actors: Actors, worker: str) -> str:
    found = actors.lease(worker=worker, digest=CANDIDATE)
    assert found is not None
    job, fence = found
    assert job.kind is JobKind.PROBE
    actors.beat(job.id, fence)
    actors.publish(job.id, fence, 1, CANDIDATE)
    actors.end(job.id, fence, OutcomeClass.SUCCEEDED, 1)
    return job.id


def test_probe_jobs_go_whole_once_their_release_is_over_and_are_still_counted(actors: Actors) -> None:
    actors.ledger.releases.set_probe_template("red", Submission("probe", actors.dataset, "v1", {"base_model": "b", "max_steps": 1}))
    release = actors.candidate(sites=("aws",))
    for worker in ("w1", "w2"):
        probed(actors, worker)
    actors.clock.advance(KEEP.total_seconds())
    forget_all(actors)
    assert rows(actors, jobs) == 2
    actors.ledger.releases.revoke(release, "enough", "someone")
    counts, series = actors.ledger.releases.counts(release), actors.ledger.upkeep.counts()
    assert counts["aws"].succeeded == 2
    assert series["lorafleet_checkpoints_published_total", ("aws", CANDIDATE)] == 2
    forget_all(actors)
    assert (rows(actors, jobs), rows(actors, attempts), rows(actors, events)) == (0, 0, 0)
    assert actors.ledger.releases.counts(release) == counts
    assert {key: value for key, value in actors.ledger.upkeep.counts().items() if value} == pytest.approx(
        {key: value for key, value in series.items() if value}
    )
    assert actors.ledger.releases.get(release).release.state is ReleaseState.ROLLED_BACK


def test_counters_go_on_from_what_removed_probes_have_left(actors: Actors) -> None:
    actors.ledger.releases.set_probe_template("red", Submission("probe", actors.dataset, "v1", {"base_model": "b", "max_steps": 1}))
    for number in (1, 2):
        release = actors.candidate(sites=("aws",))
        probed(actors, f"w{number}")
        actors.ledger.releases.revoke(release, "enough", "someone")
        actors.clock.advance(KEEP.total_seconds())
        forget_all(actors)
        assert actors.ledger.upkeep.counts()["lorafleet_leases_total", ("aws", CANDIDATE)] == number
        assert rows(actors, attempts) == 0


def test_a_probe_job_that_another_continues_stays(actors: Actors) -> None:
    actors.ledger.releases.set_probe_template("red", Submission("probe", actors.dataset, "v1", {"base_model": "b", "max_steps": 1}))
    release = actors.candidate(sites=("aws",))
    probe = probed(actors, "w1")
    actors.submit(continue_from=probe)
    actors.ledger.releases.revoke(release, "enough", "someone")
    actors.clock.advance(KEEP.total_seconds())
    forget_all(actors)
    assert actors.ledger.jobs.get("red", probe).id == probe
    assert actors.ledger.jobs.checkpoints("red", probe)


def test_keys_of_old_submissions_go(actors: Actors) -> None:
    actors.ledger.jobs.submit("red", Submission("neon", actors.dataset, "v1", {"base_model": "b"}), "someone", "key-1", "digest")
    forget_all(actors)
    assert rows(actors, keys) == 1
    actors.clock.advance(25 * 3600)
    forget_all(actors)
    assert rows(actors, keys) == 0


def test_a_lost_attempt_of_an_old_job_is_still_counted(actors: Actors) -> None:
    job = actors.submit().id
    actors.started()
    actors.clock.advance(31)
    actors.ledger.dispatcher.expire(GRACE)
    actors.clock.advance(GRACE.total_seconds())
    actors.ledger.dispatcher.expire(GRACE)
    actors.ledger.jobs.cancel("red", job, "someone")
    before = actors.ledger.upkeep.counts()
    assert before["lorafleet_leases_expired_total", ("aws", actors.ledger.jobs.attempts("red", job)[0].digest)] == 1
    actors.clock.advance(KEEP.total_seconds())
    forget_all(actors)
    assert actors.ledger.upkeep.counts() == before
