"""SIGTERM while the training hangs: the grace ends, and so does the worker, with the job handed back."""

from collections.abc import Callable

from protocol_server import ProtocolServer
from worker_bed import RunningWorker, waves

from lorafleet.contracts.jobs import CheckpointPublished, Heartbeat, Outcome
from lorafleet.contracts.outcomes import OutcomeClass


def test_a_training_that_cannot_save_in_time_is_handed_back_as_it_was_published(
    console: ProtocolServer, start_worker: Callable[..., RunningWorker]
) -> None:
    console.submit("job-1", waves(max_steps=100_000))
    worker = start_worker("w-1", "--grace=5", faults={"step_seconds": 0.02, "hang_at": 13})
    console.wait(CheckpointPublished)
    # Twelve steps are done for a while: the thirteenth hangs.
    console.wait(Heartbeat, 4, where=lambda beat: beat.step == 12)
    worker.terminate()
    assert worker.end() == 0
    outcome = console.all(Outcome)[-1]
    assert outcome.outcome is OutcomeClass.PREEMPTED
    assert "could not be saved in time" in outcome.problems[0].what
    assert [message.step for message in console.all(CheckpointPublished)] == [10]
