"""How a worker ends: when it has been idle, and with its supervisor. What its probes say meanwhile."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from protocol_server import ProtocolServer
from worker_bed import COMMAND, RunningWorker, waves

from lorafleet.contracts.jobs import LeaseRequest, Progress

StartWorker = Callable[..., RunningWorker]


def test_an_idle_worker_is_ready_waits_through_an_outage_and_goes_when_idle(
    console: ProtocolServer, start_worker: StartWorker
) -> None:
    console.away = True
    worker = start_worker("w-1", "--idle-exit=2")
    deadline = time.monotonic() + 150
    while "cannot be reached" not in worker.output:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (_probe(worker, "live"), _probe(worker, "ready")) == (0, 1)
    assert worker.output.count("cannot be reached") == 1
    console.away = False
    console.wait(LeaseRequest)
    assert worker.end() == 0
    assert (_probe(worker, "live"), _probe(worker, "ready")) == (1, 1)


def test_no_training_process_outlives_its_supervisor(console: ProtocolServer, start_worker: StartWorker) -> None:
    console.submit("job-1", waves(max_steps=100_000))
    worker = start_worker("w-1", faults={"step_seconds": 0.05})
    console.wait(Progress)
    (child,) = worker.children()
    worker.process.send_signal(signal.SIGKILL)
    worker.end()
    deadline = time.monotonic() + 150
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _probe(worker: RunningWorker, what: str) -> int:
    command = [*COMMAND, "worker", f"--probe={what}"]
    folder = worker.work.parent
    return subprocess.run([*command, "--worker=w-1", f"--work={folder}"], check=False, timeout=60).returncode
