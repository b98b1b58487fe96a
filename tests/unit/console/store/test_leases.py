"""Leases, fences and what comes of attempts, on both databases."""

from collections import Counter
from datetime import timedelta

import pytest
from console_actors import CANDIDATE, GRACE, LIFETIME, STABLE, Actors, checkpoint, ending

from lorafleet.console.domain.endings import MAX_FAILURES
from lorafleet.console.domain.records import EventKind, SiteRecord
from lorafleet.console.domain.refusals import Conflict, Fenced, Unprocessable
from lorafleet.console.store import queue
from lorafleet.contracts.job_states import AttemptState, JobState
from lorafleet.contracts.jobs import LogLines, Order, Phase
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.release import Track

SECOND = timedelta(seconds=1)


def test_a_lease_makes_the_job_run_under_a_new_fence(actors: Actors) -> None:
    job = actors.submit()
    found = actors.lease()
    assert found is not None
    assert (found[0].id, found[1]) == (job.id, 1)
    assert (found[0].dataset.dataset, found[0].training.base_model, found[0].resume) == (actors.dataset, "base", None)
    record = actors.ledger.jobs.get("red", job.id)
    assert (record.state, record.fence, record.site, record.attempts) == (JobState.RUNNING, 1, "aws", 1)
    assert actors.lease(worker="w2") is None


def test_priority_goes_before_age(actors: Actors) -> None:
    old, urgent, young = actors.submit(), actors.submit(priority=5), actors.submit()
    order = [actors.lease(worker=f"w{each}") for each in range(3)]
    assert [found[0].id for found in order if found] == [urgent.id, old.id, young.id]


def test_several_workers_are_served_at_once(actors: Actors) -> None:
    jobs = [actors.submit().id for _ in range(3)]
    requests = [actors.request(worker=f"w{each}") for each in range(4)]
    answers = actors.ledger.dispatcher.lease_many(requests, GRACE)
    assert [answer[0].id if answer else None for answer in answers] == [*jobs, None]


def test_a_worker_of_an_unknown_image_gets_nothing(actors: Actors) -> None:
    actors.submit()
    assert actors.lease(digest=CANDIDATE) is None
    assert actors.lease(site="azure") is None


def test_a_paused_site_gets_nothing(actors: Actors) -> None:
    actors.submit()
    actors.ledger.dispatcher.put_site(SiteRecord("aws", "local", "here", "aws-store", paused=True))
    assert actors.lease() is None
    assert actors.lease(site="gcp") is not None


@pytest.mark.parametrize(
    ("gpus", "memory", "slots", "fits"),
    [
        (0, 0, (), True),
        (1, 0, (), False),
        (1, 20_000, (24_000,), True),
        (1, 30_000, (24_000,), False),
        (2, 20_000, (24_000, 8_000), False),
        (2, 8_000, (24_000, 8_000), True),
        (0, 8_000, (), False),
    ],
)
def test_gpus_and_memory(actors: Actors, gpus: int, memory: int, slots: tuple[int, ...], fits: bool) -> None:
    actors.submit(gpus=gpus, min_memory_mib=memory)
    assert (actors.lease(gpus=slots) is not None) is fits


def test_a_quota_limits_what_a_team_runs(actors: Actors) -> None:
    actors.ledger.dispatcher.set_quota("red", 1)
    blue = actors.new_dataset("blue", ())
    first, second, other = actors.submit(), actors.submit(), actors.submit(team="blue", dataset=blue)
    leased = actors.ledger.dispatcher.lease_many([actors.request(worker=f"w{each}") for each in range(3)], GRACE)
    assert [answer[0].id if answer else None for answer in leased] == [first.id, other.id, None]
    assert "quota" in actors.ledger.jobs.get("red", second.id).waiting_for
    actors.end(first.id, 1, OutcomeClass.USER)
    assert actors.lease() is not None
    actors.ledger.dispatcher.set_quota("red", None)
    assert actors.ledger.dispatcher.quota("red") is None


def test_a_team_without_room_holds_up_no_other_however_much_it_has_waiting(actors: Actors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "_PAGE", 2)
    monkeypatch.setattr(queue, "_LOOK_AT", 4)
    teams = ["red", *(f"full-{number}" for number in range(4))]
    for team in teams:
        actors.ledger.dispatcher.set_quota(team, 0)
        dataset = actors.dataset if team == "red" else actors.new_dataset(team, ())
        for _ in range(4):
            actors.submit(team=team, dataset=dataset)
    other = actors.submit(team="blue", dataset=actors.new_dataset("blue", ()))
    found = actors.lease()
    assert found is not None
    assert found[0].id == other.id


def test_no_worker_is_asked_for_beyond_a_quota(actors: Actors) -> None:
    actors.ledger.dispatcher.set_quota("red", 2)
    for _ in range(6):
        actors.submit()

    def wanted() -> int:
        return sum(each.workers for each in actors.ledger.dispatcher.desired_workers())

    assert wanted() == 2
    actors.lease()
    assert wanted() == 2
    actors.submit(team="blue", dataset=actors.new_dataset("blue", ()))
    assert wanted() == 3
    actors.ledger.dispatcher.set_quota("red", 0)
    assert wanted() == 2


def test_a_site_that_has_the_data_comes_first_for_a_moment(actors: Actors) -> None:
    near = actors.new_dataset("red", ("gcp-store",), "near")
    actors.lease(site="gcp", worker="g1")
    job = actors.submit(dataset=near)
    assert actors.lease(site="aws") is None
    assert "has its data" in actors.ledger.jobs.get("red", job.id).waiting_for
    actors.clock.advance(5)
    assert actors.lease(site="aws") is not None


def test_nobody_waits_for_a_site_without_workers(actors: Actors) -> None:
    actors.submit(dataset=actors.new_dataset("red", ("gcp-store",), "near"))
    assert actors.lease(site="aws") is not None


def test_the_first_heartbeat_starts_the_training_and_each_moves_the_deadline(actors: Actors) -> None:
    actors.submit()
    found = actors.lease()
    assert found is not None
    job, fence = found[0].id, found[1]
    actors.clock.advance(1)
    reply = actors.beat(job, fence, 3)
    assert (reply.order, reply.deadline) == (Order.CONTINUE, actors.clock.at + LIFETIME)
    attempt = actors.ledger.jobs.attempts("red", job)[0]
    assert (attempt.state, attempt.first_heartbeat_at, attempt.step) == (AttemptState.TRAINING, actors.clock.at, 3)
    assert (attempt.track, attempt.digest, attempt.worker) == (Track.STABLE, STABLE, "w1")
    actors.clock.advance(1)
    actors.beat(job, fence, 5, Phase.SAVING)
    attempt = actors.ledger.jobs.attempts("red", job)[0]
    assert (attempt.first_heartbeat_at, attempt.phase) == (actors.clock.at - SECOND, Phase.SAVING)


def test_success_ends_the_job_with_its_outputs(actors: Actors) -> None:
    actors.submit()
    job, fence = actors.started()
    record = actors.end(job, fence, OutcomeClass.SUCCEEDED, 100)
    assert (record.state, record.step, record.output_stores) == (JobState.SUCCEEDED, 100, ("aws-store", "gcp-store"))
    assert [item.key for item in record.outputs] == [f"jobs/{job}/output/1/lora.safetensors"]
    assert actors.lease() is None


def test_an_outcome_twice_is_harmless_and_another_one_is_fenced(actors: Actors) -> None:
    actors.submit()
    job, fence = actors.started()
    first = actors.end(job, fence, OutcomeClass.SUCCEEDED)
    assert actors.end(job, fence, OutcomeClass.SUCCEEDED) == first
    with pytest.raises(Fenced):
        actors.end(job, fence, OutcomeClass.RELEASE)


def test_a_repeated_outcome_of_an_older_lease_changes_nothing(actors: Actors) -> None:
    actors.submit()
    job, fence = actors.started()
    actors.end(job, fence, OutcomeClass.PREEMPTED)
    newer = actors.started(worker="w2")
    assert actors.end(job, fence, OutcomeClass.PREEMPTED).state is JobState.RUNNING
    actors.beat(*newer)


def test_a_training_that_succeeds_without_a_heartbeat_heard_has_succeeded(actors: Actors) -> None:
    actors.submit()
    found = actors.lease()
    assert found is not None
    assert actors.end(found[0].id, found[1], OutcomeClass.SUCCEEDED).state is JobState.SUCCEEDED


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (OutcomeClass.RELEASE, JobState.WAITING),
        (OutcomeClass.USER, JobState.FAILED),
        (OutcomeClass.INFRASTRUCTURE, JobState.WAITING),
        (OutcomeClass.CANCELLED, JobState.CANCELLED),
        (OutcomeClass.PREEMPTED, JobState.WAITING),
    ],
)
def test_what_an_outcome_makes_of_the_job(actors: Actors, outcome: OutcomeClass, state: JobState) -> None:
    actors.submit()
    job, fence = actors.started()
    record = actors.end(job, fence, outcome, what="the reason")
    assert record.state is state
    attempt = actors.ledger.jobs.attempts("red", job)[0]
    assert (attempt.outcome, attempt.problems[0].what) == (outcome, "the reason")
    assert [problem.what for problem in record.problems] == ([] if state is JobState.WAITING else ["the reason"])
    found = actors.lease(worker="w2")
    assert (None if found is None else found[1]) == (2 if state is JobState.WAITING else None)


def test_attempts_are_used_up_and_the_last_problems_stay(actors: Actors) -> None:
    job = actors.submit().id
    for number in range(MAX_FAILURES):
        actors.clock.advance(60)
        actors.started()
        record = actors.end(job, number + 1, OutcomeClass.INFRASTRUCTURE, what=f"disk {number}")
    assert (record.state, record.problems[0].what) == (JobState.FAILED, f"disk {MAX_FAILURES - 1}")


def test_a_published_step_gives_the_attempts_back(actors: Actors) -> None:
    job = actors.submit().id
    for number in range(2 * MAX_FAILURES):
        actors.clock.advance(60)
        actors.started()
        actors.publish(job, number + 1, 10 * (number + 1))
        assert actors.end(job, number + 1, OutcomeClass.INFRASTRUCTURE).state is JobState.WAITING


def test_after_a_second_failure_the_job_pauses(actors: Actors) -> None:
    job = actors.submit().id
    for fence in (1, 2):
        actors.started()
        actors.end(job, fence, OutcomeClass.INFRASTRUCTURE)
    assert actors.lease() is None
    assert "tried again" in actors.ledger.jobs.get("red", job).waiting_for
    actors.clock.advance(2)
    assert actors.lease() is not None


def test_it_goes_on_from_the_newest_published_step(actors: Actors) -> None:
    actors.submit()
    job, fence = actors.started()
    actors.publish(job, fence, 10)
    newest = actors.publish(job, fence, 20)
    actors.end(job, fence, OutcomeClass.PREEMPTED, 25)
    found = actors.lease(site="gcp", worker="w2")
    assert found is not None
    assert found[0].resume is not None
    assert (found[0].resume.fence, found[0].resume.step, found[0].resume.objects) == (1, 20, newest.objects)
    assert actors.ledger.jobs.attempts("red", job)[1].start_step == 20
    assert actors.ledger.jobs.get("red", job).published_step == 20


def test_a_checkpoint_in_lost_stores_alone_is_passed_over(actors: Actors) -> None:
    actors.submit()
    job, fence = actors.started()
    actors.publish(job, fence, 10)
    message = checkpoint(job, fence, 20).model_copy(update={"stores": ("aws-store",)})
    actors.ledger.dispatcher.checkpoint(message)
    actors.end(job, fence, OutcomeClass.PREEMPTED)
    actors.ledger.dispatcher.put_site(SiteRecord("aws", "local", "here", "aws-store", paused=True))
    found = actors.lease(site="gcp")
    assert found is not None
    assert found[0].resume is not None
    assert found[0].resume.step == 10


def test_a_job_continues_another(actors: Actors) -> None:
    first = actors.submit().id
    actors.started()
    for step in (10, 20, 30):
        actors.publish(first, 1, step)
    actors.end(first, 1, OutcomeClass.SUCCEEDED)
    with pytest.raises(Unprocessable, match="step 25"):
        actors.submit(continue_from=first, continue_step=25)
    second = actors.submit(continue_from=first, continue_step=20).id
    found = actors.lease()
    assert found is not None
    assert found[0].resume is not None
    assert (found[0].id, found[0].resume.step) == (second, 20)
    assert found[0].resume.objects[0].key.startswith(f"jobs/{first}/")


def test_publishing_twice_is_harmless_and_a_changed_checkpoint_is_refused(actors: Actors) -> None:
    actors.submit()
    job, fence = actors.started()
    first = actors.publish(job, fence, 10)
    assert actors.publish(job, fence, 10) == first
    with pytest.raises(Conflict, match="other objects"):
        actors.ledger.dispatcher.checkpoint(checkpoint(job, fence, 10, size=4))
    actors.end(job, fence, OutcomeClass.PREEMPTED)
    assert actors.publish(job, fence, 10) == first
    with pytest.raises(Fenced):
        actors.publish(job, fence, 20)
    assert len(actors.ledger.jobs.checkpoints("red", job)) == 1


def test_a_checkpoint_of_another_release_is_refused(actors: Actors) -> None:
    actors.submit()
    job, fence = actors.started()
    with pytest.raises(Unprocessable, match="release"):
        actors.publish(job, fence, 10, CANDIDATE)


def test_a_silent_worker_is_unknown_before_it_is_lost(actors: Actors) -> None:
    actors.submit()
    job, fence = actors.started()
    heard = actors.clock.at
    actors.clock.advance(29)
    assert actors.ledger.dispatcher.expire(GRACE) == []
    actors.clock.advance(2)
    assert [each.state for each in actors.ledger.dispatcher.expire(GRACE)] == [AttemptState.TRAINING]
    assert actors.ledger.dispatcher.expire(GRACE) == []
    record = actors.ledger.jobs.get("red", job)
    assert (record.state, record.unknown_since) == (JobState.RUNNING, heard)
    assert actors.lease(worker="w2") is None
    actors.beat(job, fence)
    assert actors.ledger.jobs.get("red", job).unknown_since is None
    actors.clock.advance(51)
    assert [each.state for each in actors.ledger.dispatcher.expire(GRACE)] == [AttemptState.LOST]
    assert actors.ledger.jobs.get("red", job).state is JobState.WAITING
    with pytest.raises(Fenced):
        actors.beat(job, fence)
    found = actors.lease(worker="w2")
    assert found is not None
    assert found[1] == 2


def test_every_message_of_an_old_lease_is_fenced(actors: Actors) -> None:
    actors.submit()
    job, fence = actors.started()
    actors.clock.advance(100)
    actors.ledger.dispatcher.expire(GRACE)
    newer = actors.started(worker="w2")
    dispatcher = actors.ledger.dispatcher
    before = actors.ledger.jobs.get("red", job), actors.ledger.jobs.events("red", job)
    for send in (
        lambda: actors.beat(job, fence),
        lambda: dispatcher.progress([actors.progress(job, fence, 5)]),
        lambda: dispatcher.log(LogLines(job=job, fence=fence, first=0, lines=("late",))),
        lambda: actors.publish(job, fence, 5),
        lambda: actors.end(job, fence, OutcomeClass.SUCCEEDED),
        lambda: dispatcher.holds(job, fence),
        lambda: dispatcher.holds(job, fence + 5),
        lambda: dispatcher.outcome(ending("no-such-job", 1, OutcomeClass.SUCCEEDED), []),
    ):
        with pytest.raises(Fenced):
            send()
    assert (actors.ledger.jobs.get("red", job), actors.ledger.jobs.events("red", job)) == before
    assert dispatcher.holds(*newer).worker == "w2"


def test_progress_is_written_as_a_batch_or_not_at_all(actors: Actors) -> None:
    actors.submit(), actors.submit()
    one, two = actors.started(), actors.started(worker="w2")
    actors.ledger.dispatcher.progress([actors.progress(*one, 1), actors.progress(*two, 1), actors.progress(*one, 2, loss=0.25)])
    record = actors.ledger.jobs.get("red", one[0])
    assert (record.step, record.total_steps, record.loss, record.seconds_left) == (2, 100, 0.25, 9)
    actors.end(*two, OutcomeClass.PREEMPTED)
    with pytest.raises(Fenced):
        actors.ledger.dispatcher.progress([actors.progress(*one, 3), actors.progress(*two, 3)])
    kinds = Counter(event.kind for event in actors.ledger.jobs.events("red", None))
    assert kinds[EventKind.PROGRESS] == 3


def test_the_log_keeps_its_tail_and_takes_lines_once(actors: Actors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lorafleet.console.store.reports.LOG_LINES", 6)
    job = actors.submit().id
    lease = actors.started()
    for first in range(0, 10, 2):
        for _ in range(2):
            actors.ledger.dispatcher.log(
                LogLines(job=job, fence=lease[1], first=first, lines=(f"line {first}", f"line {first + 1}"))
            )
    assert actors.ledger.jobs.log("red", job) == [f"line {number}" for number in range(4, 10)]
    assert actors.ledger.jobs.log("red", job, last=2) == ["line 8", "line 9"]
    assert actors.ledger.jobs.log("red", job, fence=7) == []


def test_orders_reach_the_worker_with_its_next_heartbeat(actors: Actors) -> None:
    job = actors.submit().id
    with pytest.raises(Conflict, match="does not run"):
        actors.ledger.jobs.order("red", job, Order.SAVE, "someone")
    lease = actors.started()
    actors.ledger.jobs.order("red", job, Order.SAVE, "someone")
    assert [actors.beat(*lease).order for _ in range(2)] == [Order.SAVE, Order.CONTINUE]
    actors.ledger.jobs.order("red", job, Order.FINISH, "someone")
    assert [actors.beat(*lease).order for _ in range(2)] == [Order.FINISH, Order.FINISH]
    with pytest.raises(Unprocessable):
        actors.ledger.jobs.order("red", job, Order.HAND_BACK, "someone")


def test_cancelling(actors: Actors) -> None:
    waiting, running = actors.submit(priority=-1).id, actors.submit().id
    lease = actors.started()
    assert actors.ledger.jobs.cancel("red", waiting, "someone").state is JobState.CANCELLED
    for _ in range(2):
        record = actors.ledger.jobs.cancel("red", running, "someone")
        assert (record.state, record.cancel_requested) == (JobState.RUNNING, True)
    with pytest.raises(Conflict, match="cancelled"):
        actors.ledger.jobs.order("red", running, Order.SAVE, "someone")
    assert actors.beat(*lease).order is Order.STOP
    assert actors.end(*lease, OutcomeClass.CANCELLED).state is JobState.CANCELLED
    assert actors.ledger.jobs.cancel("red", running, "someone").state is JobState.CANCELLED
    assert actors.lease() is None


@pytest.mark.parametrize("outcome", [OutcomeClass.PREEMPTED, OutcomeClass.RELEASE, OutcomeClass.INFRASTRUCTURE])
def test_a_cancelled_job_does_not_wait_again(actors: Actors, outcome: OutcomeClass) -> None:
    job = actors.submit().id
    lease = actors.started()
    actors.ledger.jobs.cancel("red", job, "someone")
    assert actors.end(*lease, outcome).state is JobState.CANCELLED


def test_a_cancelled_job_whose_worker_is_lost_is_cancelled(actors: Actors) -> None:
    job = actors.submit().id
    actors.started()
    actors.ledger.jobs.cancel("red", job, "someone")
    actors.clock.advance(60)
    actors.ledger.dispatcher.expire(GRACE)
    assert actors.ledger.jobs.get("red", job).state is JobState.CANCELLED


def test_a_finished_job_is_not_cancelled(actors: Actors) -> None:
    job = actors.submit().id
    actors.end(*actors.started(), OutcomeClass.SUCCEEDED)
    with pytest.raises(Conflict, match="ended"):
        actors.ledger.jobs.cancel("red", job, "someone")


def test_sites_and_workers_are_heard_of(actors: Actors) -> None:
    actors.submit()
    actors.lease(worker="idle", digest=CANDIDATE)
    job, fence = actors.started(worker="busy")
    actors.clock.advance(59)
    actors.beat(job, fence)
    actors.clock.advance(2)
    assert [(each.worker, each.job) for each in actors.ledger.dispatcher.workers()] == [("busy", job)]
    site = actors.ledger.dispatcher.sites()[0]
    assert (site.name, site.workers, site.heard_at) == ("aws", 1, actors.clock.at - 2 * SECOND)


def test_a_lease_whose_answer_was_lost_is_free_as_soon_as_its_worker_asks_again(actors: Actors) -> None:
    job = actors.submit().id
    other = actors.submit().id
    assert actors.started(worker="busy")[0] == job
    assert actors.lease(worker="w1") is not None
    for site, worker in (("aws", "busy"), ("aws", "w2"), ("gcp", "w1")):
        actors.ledger.dispatcher.lose_not_begun(site, worker)
        assert actors.ledger.jobs.get("red", other).state is JobState.RUNNING
    for _ in range(2):
        actors.ledger.dispatcher.lose_not_begun("aws", "w1")
        lost = actors.ledger.jobs.get("red", other)
        assert (lost.state, lost.attempts) == (JobState.WAITING, 1)
    (attempt,) = actors.ledger.jobs.attempts("red", other)
    assert attempt.state is AttemptState.LOST
    assert "did not know of this lease" in attempt.problems[0].what
    again = actors.lease(worker="w1")
    assert again is not None
    assert (again[0].id, again[1]) == (other, 2)
    with pytest.raises(Fenced):
        actors.beat(other, 1)
