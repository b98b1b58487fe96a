"""Submitting, listing and reading jobs, on both databases."""

import json
import threading
from dataclasses import asdict, replace

import pytest
from console_actors import CANDIDATE, TRAINING, Actors, some_object

from lorafleet.console.domain.records import EventKind, Submission
from lorafleet.console.domain.refusals import NotFound, Unprocessable
from lorafleet.contracts.job_states import JobState
from lorafleet.contracts.jobs import LogLines, SamplePublished
from lorafleet.contracts.layout import sample_object
from lorafleet.contracts.outcomes import OutcomeClass


def submission(actors: Actors, **more: object) -> Submission:
    return Submission("neon", actors.dataset, "v1", **{"training": TRAINING, **more})


def test_a_submitted_job_reads_back(actors: Actors) -> None:
    made = actors.submit("Neon city 霓虹", priority=3, gpus=1, min_memory_mib=20_000)
    assert made.id.startswith("neon-city-")
    assert (made.state, made.submitted_at, made.priority, made.gpus, made.fence) == (JobState.WAITING, actors.clock.at, 3, 1, 0)
    assert replace(actors.ledger.jobs.get("red", made.id), waiting_for="") == made
    assert json.dumps(asdict(made), default=str)


def test_the_same_key_gives_the_same_job(actors: Actors) -> None:
    jobs = actors.ledger.jobs
    first = jobs.submit("red", submission(actors), "someone", "key", "digest")
    assert jobs.submit("red", submission(actors), "someone", "key", "digest").id == first.id
    with pytest.raises(Unprocessable, match="another body"):
        jobs.submit("red", submission(actors), "someone", "key", "other")
    blue = actors.new_dataset("blue", ())
    other = jobs.submit("blue", Submission("neon", blue, "v1", TRAINING), "someone", "key", "digest")
    assert other.id != first.id
    actors.clock.advance(24 * 3600)
    assert jobs.submit("red", submission(actors), "someone", "key", "other").id != first.id
    assert len(jobs.page("red").rows) == 2


def test_the_same_key_at_the_same_moment(actors: Actors) -> None:
    found: list[str] = []

    def submit() -> None:
        found.append(actors.ledger.jobs.submit("red", submission(actors), "someone", "key", "digest").id)

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert set(found) == {row.id for row in actors.ledger.jobs.page("red").rows}
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    "wrong", [{"training": {}}, {"training": {**TRAINING, "lora_rank": -1}}, {"training": {**TRAINING, "x": 1}}]
)
def test_a_wrong_configuration_is_refused_and_leaves_nothing(actors: Actors, wrong: dict[str, object]) -> None:
    with pytest.raises(Unprocessable):
        actors.ledger.jobs.submit("red", submission(actors, **wrong), "someone", "key", "digest")
    assert actors.ledger.jobs.page("red").rows == ()
    assert actors.ledger.jobs.submit("red", submission(actors), "someone", "key", "another").state is JobState.WAITING


def test_a_job_needs_its_data_and_what_it_continues(actors: Actors) -> None:
    with pytest.raises(NotFound, match="version v2"):
        actors.ledger.jobs.submit("red", Submission("a", actors.dataset, "v2", TRAINING), "someone")
    with pytest.raises(NotFound):
        actors.submit(continue_from="no-such-job")
    job = actors.submit().id
    with pytest.raises(Unprocessable, match="no published checkpoint"):
        actors.submit(continue_from=job)


def test_nothing_continues_what_a_failed_release_wrote(actors: Actors) -> None:
    first = actors.submit().id
    _, fence = actors.started()
    actors.publish(first, fence, 10)
    actors.end(first, fence, OutcomeClass.PREEMPTED)
    release = actors.candidate()
    second = actors.submit().id
    for job, worker in ((first, "c1"), (second, "c2")):
        leased, fence = actors.started(worker=worker, digest=CANDIDATE)
        assert leased == job
        actors.publish(job, fence, 20, CANDIDATE)
        actors.end(job, fence, OutcomeClass.USER)
    assert actors.submit(continue_from=first).continue_step == 20
    actors.ledger.releases.revoke(release, "bad", "someone")
    assert actors.submit(continue_from=first).continue_step == 10
    for job, step in ((first, 20), (second, 20), (second, None)):
        with pytest.raises(Unprocessable, match="a release wrote that was taken back"):
            actors.submit(continue_from=job, continue_step=step)


def test_another_team_sees_nothing(actors: Actors) -> None:
    job = actors.submit().id
    actors.new_dataset("blue", ())
    jobs = actors.ledger.jobs
    for look in (
        lambda: jobs.get("blue", job),
        lambda: jobs.attempts("blue", job),
        lambda: jobs.checkpoints("blue", job),
        lambda: jobs.log("blue", job),
        lambda: jobs.cancel("blue", job, "someone"),
        lambda: jobs.position("blue", job),
        lambda: jobs.submit("blue", submission(actors), "someone"),
        lambda: actors.ledger.datasets.versions("blue", actors.dataset),
    ):
        with pytest.raises(NotFound):
            look()
    assert jobs.page("blue").rows == ()
    assert jobs.events("blue", job) == []
    assert jobs.events("blue", None) == []


def test_pages_are_whole_and_in_order(actors: Actors) -> None:
    made = [actors.submit(f"job {number}").id for number in range(7)]
    for _ in range(3):
        job, fence = actors.started()
        actors.end(job, fence, OutcomeClass.USER)
    seen: list[str] = []
    after = None
    while True:
        page = actors.ledger.jobs.page("red", after=after, limit=3)
        seen += [row.id for row in page.rows]
        if (after := page.after) is None:
            break
        actors.submit("later")
    assert seen == made[::-1]
    failed = actors.ledger.jobs.page("red", [JobState.FAILED], limit=2)
    assert [row.id for row in failed.rows] == [made[2], made[1]]
    assert [row.id for row in actors.ledger.jobs.page("red", [JobState.FAILED], failed.after).rows] == [made[0]]
    both = actors.ledger.jobs.page("red", [JobState.FAILED, JobState.WAITING, JobState.FAILED], limit=500)
    assert len(both.rows) == 9
    assert actors.ledger.jobs.page("red", dataset="other").rows == ()
    for wrong in ({"limit": 0}, {"limit": 501}, {"after": "-1"}, {"after": "x"}, {"after": "９"}):
        with pytest.raises(Unprocessable):
            actors.ledger.jobs.page("red", **wrong)


def test_position_counts_what_goes_before(actors: Actors) -> None:
    first, second, urgent = actors.submit(), actors.submit(), actors.submit(priority=1)
    assert [actors.ledger.jobs.position("red", each.id) for each in (urgent, first, second)] == [0, 1, 2]
    actors.lease()
    assert actors.ledger.jobs.position("red", urgent.id) is None
    assert actors.ledger.jobs.position("red", second.id) == 1


def test_events_tell_the_story_and_go_on_from_a_number(actors: Actors) -> None:
    actors.submit()
    job, fence = actors.started()
    actors.ledger.dispatcher.progress([actors.progress(job, fence, 5, 0.25)])
    key = sample_object(job, fence, 5, "1.png")
    actors.ledger.dispatcher.sample(SamplePublished(job=job, fence=fence, step=5, prompt="neon", object=some_object(key)))
    actors.ledger.dispatcher.log(LogLines(job=job, fence=fence, first=0, lines=("step 5",)))
    actors.publish(job, fence, 5)
    actors.end(job, fence, OutcomeClass.SUCCEEDED, 10)
    events = actors.ledger.jobs.events("red", job)
    assert [event.kind for event in events] == [
        EventKind.SUBMITTED, EventKind.LEASED, EventKind.STARTED, EventKind.PROGRESS, EventKind.SAMPLE, EventKind.LOG,
        EventKind.CHECKPOINT, EventKind.ENDED, EventKind.FINISHED,
    ]  # fmt: skip
    assert sorted({event.number for event in events}) == [event.number for event in events]
    assert events[3].values["metrics"] == {"loss": 0.25}
    assert (events[4].values["prompt"], events[4].values["object"]["key"]) == ("neon", key)
    assert events[7].values["outcome"] == "succeeded"
    assert actors.ledger.jobs.events("red", job, events[5].number) == events[6:]
    assert actors.ledger.jobs.events("red", job, limit=2) == events[:2]


def test_listeners_hear_of_what_was_committed(actors: Actors) -> None:
    heard: list[tuple[str, EventKind]] = []
    silence = actors.ledger.listen(heard.extend)
    job = actors.submit().id
    with pytest.raises(NotFound):
        actors.submit(dataset="none")
    silence()
    actors.submit()
    assert heard == [(job, EventKind.SUBMITTED)]


def test_the_reason_for_waiting(actors: Actors) -> None:
    job = actors.submit(gpus=1).id

    def reason() -> str:
        return actors.ledger.jobs.get("red", job).waiting_for

    assert reason() == "No worker is there in any site."
    actors.lease(worker="small")
    assert reason() == "No worker has what it needs (1 GPU); the largest has no GPU."
    assert actors.ledger.jobs.page("red").rows[0].waiting_for == reason()
    actors.submit(gpus=1, priority=2)
    actors.lease(worker="large", gpus=(24_000,))
    assert reason() == "All workers are busy."
    actors.submit(gpus=1, priority=1)
    assert reason() == "1 job is before it."
    assert actors.ledger.jobs.page("red", [JobState.RUNNING]).rows[0].waiting_for == ""
