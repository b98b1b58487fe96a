"""The orders that the console gives with a heartbeat's reply."""

from collections.abc import Callable

from protocol_server import ProtocolServer
from worker_bed import RunningWorker, waves

from lorafleet.contracts.jobs import CheckpointPublished, Heartbeat, Order, Outcome, Progress
from lorafleet.contracts.outcomes import OutcomeClass

StartWorker = Callable[..., RunningWorker]


def test_orders_save_finish_and_stop_reach_the_loop(console: ProtocolServer, start_worker: StartWorker) -> None:
    slow = {"step_seconds": 0.05}
    console.submit("job-1", waves(save_steps=0, max_steps=100_000))
    console.submit("job-2", waves(save_steps=0, max_steps=100_000))
    worker = start_worker("w-1", faults=slow)
    console.wait(Progress, where=lambda point: point.step >= 3)
    console.order = Order.SAVE
    saved = console.wait(CheckpointPublished)
    beats = len(console.all(Heartbeat))
    console.wait(Heartbeat, beats + 3)
    assert len(console.all(CheckpointPublished)) == 1, "an order that the console repeats is obeyed once"
    console.order = Order.FINISH
    finished = console.wait(Outcome)
    assert finished.outcome is OutcomeClass.SUCCEEDED
    assert saved.step < finished.step < 100_000
    assert len(finished.outputs) == 1
    assert console.all(CheckpointPublished)[-1].step == finished.step

    console.order = Order.CONTINUE
    console.wait(Progress, where=lambda point: point.job == "job-2" and point.step >= 3)
    console.order = Order.STOP
    stopped = console.wait(Outcome, 2)
    assert (stopped.job, stopped.outcome, stopped.outputs) == ("job-2", OutcomeClass.CANCELLED, ())
    assert not [key for store in console.stores.values() for key in store if key.startswith("jobs/job-2/")]
    worker.terminate()
    assert worker.end() == 0
