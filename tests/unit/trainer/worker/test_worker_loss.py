"""What breaks: the training process, its loop, its lease."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from protocol_server import ProtocolServer
from worker_bed import RunningWorker, waves

from lorafleet.contracts.jobs import CheckpointPublished, Heartbeat, Outcome, Progress
from lorafleet.contracts.outcomes import OutcomeClass

StartWorker = Callable[..., RunningWorker]


def test_a_killed_process_is_the_machines_fault_and_its_last_checkpoint_is_published(
    console: ProtocolServer, start_worker: StartWorker
) -> None:
    # The store is slow to come: what is published must come from the supervisor after the process's death.
    console.down = {"far"}
    console.submit("job-1", waves(max_steps=100_000))
    worker = start_worker("w-1", "--once", faults={"step_seconds": 0.05})
    console.wait(Progress, where=lambda point: point.step >= 12)
    (child,) = worker.children()
    os.kill(child, signal.SIGKILL)
    _until_gone(child)
    assert console.all(CheckpointPublished) == []
    console.down = set()
    outcome = console.wait(Outcome)
    assert (outcome.outcome, outcome.exit_code) == (OutcomeClass.INFRASTRUCTURE, -signal.SIGKILL)
    assert "SIGKILL" in outcome.problems[0].what
    assert console.all(CheckpointPublished)[-1].step >= 10
    assert worker.end() != 0


def test_a_newer_lease_ends_the_attempt_without_another_word(console: ProtocolServer, start_worker: StartWorker) -> None:
    console.submit("job-1", waves(max_steps=100_000, save_steps=5))
    worker = start_worker("w-1", "--once", faults={"step_seconds": 0.05})
    console.wait(CheckpointPublished)
    (child,) = worker.children()
    console.fence_off("job-1")
    assert worker.end() == 75
    _until_gone(child)
    assert console.all(Outcome) == []
    assert "fenced" in [event["event"] for event in worker.events]
    stored = len(console.puts)
    time.sleep(0.3)
    assert len(console.puts) == stored


def test_a_loop_that_stands_still_sends_no_heartbeats_and_is_given_up(console: ProtocolServer, start_worker: StartWorker) -> None:
    console.submit("job-1", waves(max_steps=100_000))
    worker = start_worker("w-1", "--once", "--stall=5", faults={"step_seconds": 0.02, "hang_at": 15})
    outcome = console.wait(Outcome)
    assert outcome.outcome is OutcomeClass.RELEASE
    assert "stood still" in outcome.problems[0].what
    assert outcome.step <= 14
    beats = console.all(Heartbeat)
    assert console.at(outcome) - console.at(beats[-1]) < 5, "the heartbeats went on until the silence was too long"
    assert worker.end() == 1


def _until_gone(pid: int) -> None:
    deadline = time.monotonic() + 150
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
