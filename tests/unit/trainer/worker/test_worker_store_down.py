"""A store is down for a while: what was to be published waits on the local disk, and the newest goes first."""

from collections.abc import Callable

from protocol_server import ProtocolServer
from worker_bed import RunningWorker, waves

from lorafleet.contracts.jobs import CheckpointPublished, Outcome, Progress
from lorafleet.contracts.outcomes import OutcomeClass

StartWorker = Callable[..., RunningWorker]


def test_a_store_that_is_down_delays_publishing_and_nothing_else(console: ProtocolServer, start_worker: StartWorker) -> None:
    console.down = {"far"}
    console.submit("job-1", waves(max_steps=100_000))
    worker = start_worker("w-1", faults={"step_seconds": 0.05})
    trained = console.wait(Progress, where=lambda point: point.step >= 35)
    assert console.all(CheckpointPublished) == []
    assert [store for _, store, _ in console.puts if store == "near"], "the other store has it already"
    console.down = set()
    first = console.wait(CheckpointPublished)
    # The ones before were overtaken while they waited.
    assert first.step > 20
    assert trained.step >= 35
    sent = [key for _, store, key in console.puts if store == "near" and f"/step-{first.step}/" in key]
    assert len(sent) == len(set(sent)), "what a store has is not sent again"
    worker.terminate()
    assert worker.end() == 0
    assert console.all(Outcome)[-1].outcome is OutcomeClass.PREEMPTED
