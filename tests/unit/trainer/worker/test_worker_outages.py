"""The console is away for a while: training goes on, and nothing is lost."""

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
    deadline = time.monotonic() + 150
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
