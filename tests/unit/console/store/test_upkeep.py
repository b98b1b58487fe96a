"""What loops and metrics ask for, on both databases."""

import pytest
from console_actors import STABLE, Actors

from lorafleet.console.domain.refusals import Fenced
from lorafleet.contracts.job_states import AttemptState, JobState
from lorafleet.contracts.outcomes import OutcomeClass


def started(actors: Actors, worker: str = "w1") -> tuple[str, int]:
    actors.submit()
    return actors.started(worker=worker)


def test_only_what_unfinished_jobs_need_is_needed(actors: Actors) -> None:
    assert actors.ledger.upkeep.needed() == []
    done, done_fence = started(actors)
    actors.publish(done, done_fence, 1)
    actors.end(done, done_fence, OutcomeClass.USER)
    assert actors.ledger.upkeep.needed() == []
    job, fence = started(actors, "w2")
    actors.publish(job, fence, 3)
    actors.publish(job, fence, 7)
    needed = actors.ledger.upkeep.needed()
    assert [(each.dataset, each.job, each.step) for each in needed] == [(actors.dataset, None, None), (None, job, 7)]
    assert all(each.objects for each in needed)


def test_where_something_lies_is_noted_for_the_next_lease(actors: Actors) -> None:
    job, fence = started(actors)
    actors.publish(job, fence, 7)
    for holding in actors.ledger.upkeep.needed():
        actors.ledger.upkeep.held_by(holding, [*holding.stores, "azure"])
    assert all(each.stores[-1] == "azure" for each in actors.ledger.upkeep.needed())
    (row,) = actors.ledger.jobs.checkpoints("red", job)
    assert row.stores[-1] == "azure"
    assert row.step == 7


def test_counts(actors: Actors) -> None:
    first, first_fence = started(actors)
    actors.publish(first, first_fence, 1)
    actors.publish(first, first_fence, 2)
    second, second_fence = started(actors, "w2")
    actors.end(second, second_fence, OutcomeClass.USER)
    actors.submit()
    states = actors.ledger.upkeep.job_counts()
    assert states == {**dict.fromkeys(JobState, 0), JobState.RUNNING: 1, JobState.FAILED: 1, JobState.WAITING: 1}
    counts = {(each.state, each.outcome): (each.attempts, each.checkpoints) for each in actors.ledger.upkeep.attempt_counts()}
    assert counts == {(AttemptState.TRAINING, None): (1, 2), (AttemptState.FAILED, OutcomeClass.USER): (1, 0)}
    assert {(each.site, each.digest) for each in actors.ledger.upkeep.attempt_counts()} == {("aws", STABLE)}


def test_the_job_of_a_lease_is_told_while_it_holds(actors: Actors) -> None:
    job, fence = started(actors)
    assert actors.ledger.dispatcher.leased(job, fence).id == job
    assert actors.ledger.dispatcher.leased(job, fence).team == "red"
    for stale in (fence + 1, fence - 1 or 99):
        with pytest.raises(Fenced):
            actors.ledger.dispatcher.leased(job, stale)
    actors.end(job, fence, OutcomeClass.PREEMPTED)
    with pytest.raises(Fenced):
        actors.ledger.dispatcher.leased(job, fence)
