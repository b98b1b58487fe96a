"""What loops and metrics ask for, on both databases."""

import pytest
from console_actors import CANDIDATE, STABLE, Actors

from lorafleet.console.domain.refusals import Fenced
from lorafleet.contracts.job_states import JobState
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


def steps_needed(actors: Actors) -> list[tuple[str | None, int | None]]:
    return [(each.job, each.step) for each in actors.ledger.upkeep.needed() if each.job is not None]


def test_what_a_job_continues_is_needed_until_it_has_a_step_of_its_own(actors: Actors) -> None:
    first, fence = started(actors)
    for step in (10, 20, 30):
        actors.publish(first, fence, step)
    actors.end(first, fence, OutcomeClass.SUCCEEDED)
    assert steps_needed(actors) == []
    actors.submit(continue_from=first, continue_step=20)
    assert steps_needed(actors) == [(first, 20)]
    second, fence = actors.started()
    actors.publish(second, fence, 25)
    assert steps_needed(actors) == [(second, 25)]


def test_the_step_before_a_candidate_s_is_needed_too_and_alone_once_that_is_taken_back(actors: Actors) -> None:
    job, fence = started(actors)
    actors.publish(job, fence, 10)
    actors.end(job, fence, OutcomeClass.PREEMPTED)
    release = actors.candidate()
    _, fence = actors.started(digest=CANDIDATE)
    actors.publish(job, fence, 20, CANDIDATE)
    assert steps_needed(actors) == [(job, 10), (job, 20)]
    actors.ledger.releases.revoke(release, "bad", "someone")
    assert steps_needed(actors) == [(job, 10)]


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
    counts = actors.ledger.upkeep.counts()
    here = ("aws", STABLE)
    assert counts["lorafleet_leases_total", here] == 2
    assert counts["lorafleet_heartbeats_total", here] == 2
    assert counts["lorafleet_checkpoints_published_total", here] == 2
    assert counts["lorafleet_attempts_ended_total", (*here, "user")] == 1
    assert {labels[:2] for _, labels in counts} == {here}


def test_how_long_jobs_wait_and_processes_start_is_counted_in_buckets(actors: Actors) -> None:
    for seconds_waited, seconds_to_start in ((3, 0.1), (70, 4)):
        actors.submit()
        actors.clock.advance(seconds_waited)
        found = actors.lease(worker=f"w{seconds_waited}")
        assert found is not None
        actors.clock.advance(seconds_to_start)
        actors.beat(found[0].id, found[1])
    actors.submit()
    assert actors.lease(worker="silent") is not None
    counts = actors.ledger.upkeep.counts()
    here = ("aws", STABLE)
    starts = {labels[2]: value for (name, labels), value in counts.items() if name == "lorafleet_first_heartbeat_seconds_bucket"}
    # A bucket holds its own bound, and what is under the one before.
    assert starts == {"0.1": 1, "0.25": 1, "0.5": 1, "1": 1, "2": 1, "5": 2, "10": 2, "30": 2, "60": 2, "+Inf": 2}
    assert counts["lorafleet_first_heartbeat_seconds_count", here] == 2
    assert counts["lorafleet_first_heartbeat_seconds_sum", here] == pytest.approx(4.1)
    waits = {labels[2]: value for (name, labels), value in counts.items() if name == "lorafleet_job_waiting_seconds_bucket"}
    assert waits == {"1": 1, "5": 2, "15": 2, "60": 2, "300": 3, "900": 3, "3600": 3, "14400": 3, "+Inf": 3}
    assert counts["lorafleet_job_waiting_seconds_sum", here] == pytest.approx(73)


def test_a_job_waits_once_for_its_first_lease(actors: Actors) -> None:
    job, fence = started(actors)
    actors.end(job, fence, OutcomeClass.PREEMPTED)
    actors.clock.advance(100)
    again = actors.lease("gcp", "w2")
    assert again is not None
    assert again[0].id == job
    counts = actors.ledger.upkeep.counts()
    assert {labels for name, labels in counts if name == "lorafleet_job_waiting_seconds_count"} == {("aws", STABLE)}
    assert counts["lorafleet_job_waiting_seconds_sum", ("aws", STABLE)] == 0


def test_refused_messages_are_counted_for_the_lease_that_had_ended(actors: Actors) -> None:
    job, fence = started(actors)
    actors.end(job, fence, OutcomeClass.PREEMPTED)
    actors.ledger.dispatcher.note_fenced(job, fence)
    actors.ledger.dispatcher.note_fenced(job, fence)
    assert actors.ledger.upkeep.counts()["lorafleet_messages_fenced_total", ("aws", STABLE)] == 2


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
