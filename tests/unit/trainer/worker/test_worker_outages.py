"""The console or a store is away for a while: training goes on, and nothing is lost."""

import time
from collections.abc import Callable

from protocol_server import ProtocolServer
from worker_bed import RunningWorker, waves

from lorafleet.contracts.jobs import CheckpointPublished, Lease, LogLines, Outcome, Progress
from lorafleet.contracts.outcomes import OutcomeClass

StartWorker = Callable[..., RunningWorker]


def test_training_goes_on_while_the_console_is_away(console: ProtocolServer, start_worker: StartWorker) -> None:
    console.submit("job-1", waves(max_steps=120))
    worker = start_worker("w-1", "--once", faults={"step_seconds": 0.05})
    seen = console.wait(Progress, where=lambda point: point.step >= 5).step
    console.away = True
    # 120 steps of 0.05 s: the whole rest of the training, and its end, fall into the outage.
    deadline = time.monotonic() + 40
    while "the outcome is kept" not in worker.output:
        assert time.monotonic() < deadline
        if list(worker.work.glob("attempts/*/output/*.safetensors")):
            break
        time.sleep(0.05)
    assert console.all(Outcome) == []
    assert worker.process.poll() is None
    console.away = False
    outcome = console.wait(Outcome)
    assert (outcome.outcome, outcome.step) == (OutcomeClass.SUCCEEDED, 120)
    assert worker.end() == 0
    assert len(console.all(Lease)) == 1
    steps = [point.step for point in console.all(Progress)]
    assert steps == sorted(steps)
    assert steps[-1] == 120
    assert [step for step in steps if seen < step < 120], "the curve has the points of the outage"
    lines = console.all(LogLines)
    assert [message.first for message in lines[1:]] == [message.first + len(message.lines) for message in lines[:-1]]
    assert console.all(CheckpointPublished)[-1].step == 120


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
