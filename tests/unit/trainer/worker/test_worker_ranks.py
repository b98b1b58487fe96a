"""Jobs on several GPUs: here ranks on the CPU, which speak by gloo as those on GPUs do by NCCL."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from protocol_server import ProtocolServer
from safetensors.torch import load
from worker_bed import RunningWorker, waves

from lorafleet.contracts.jobs import Heartbeat, Order, Outcome, Progress
from lorafleet.contracts.outcomes import OutcomeClass
from trainer.worker import supervisor
from trainer.worker.gpus import parse

StartWorker = Callable[..., RunningWorker]


def ranks_of(worker: RunningWorker) -> list[int]:
    """The process ids of the ranks beside the training process itself."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal() and _words(entry)[1:3] == ["-m", "trainer.worker.rank"] and _parent(entry) in worker.children()
    ]


def _words(entry: Path) -> list[str]:
    try:
        return (entry / "cmdline").read_text().split("\0")
    except OSError:
        return []


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def test_a_job_on_two_gpus_comes_to_the_weights_of_one(console: ProtocolServer, start_worker: StartWorker) -> None:
    # The batch is a rank's.
    console.submit("job-1", waves(batch_size=4))
    console.submit("job-2", waves(batch_size=2), gpus=2)
    worker = start_worker("w-1")
    alone, together = console.wait(Outcome), console.wait(Outcome, 2)
    assert (alone.outcome, together.outcome) == (OutcomeClass.SUCCEEDED, OutcomeClass.SUCCEEDED)
    assert together.step == alone.step == 40
    one, two = (load(next(iter(console.stores.values()))[outcome.outputs[0].key]) for outcome in (alone, together))
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=1e-5, rtol=1e-4)
    assert ranks_of(worker) == []
    beats = [beat.job for beat in console.all(Heartbeat)]
    assert beats.count("job-2") > 0
    worker.terminate()
    assert worker.end() == 0


def test_finish_reaches_every_rank(console: ProtocolServer, start_worker: StartWorker) -> None:
    console.submit("job-1", waves(save_steps=0, max_steps=100_000), gpus=2)
    worker = start_worker("w-1", faults={"step_seconds": 0.05})
    console.wait(Progress, where=lambda point: point.step >= 3)
    assert len(ranks_of(worker)) == 1
    console.order = Order.FINISH
    finished = console.wait(Outcome)
    assert finished.outcome is OutcomeClass.SUCCEEDED
    assert 3 <= finished.step < 100_000
    worker.terminate()
    assert worker.end() == 0


def test_a_rank_that_dies_ends_the_attempt_and_leaves_nobody(console: ProtocolServer, start_worker: StartWorker) -> None:
    console.submit("job-1", waves(save_steps=0, max_steps=100_000), gpus=3)
    worker = start_worker("w-1", "--once", faults={"step_seconds": 0.05})
    console.wait(Progress, where=lambda point: point.step >= 3)
    ranks = ranks_of(worker)
    assert len(ranks) == 2
    os.kill(max(ranks), signal.SIGKILL)
    ended = console.wait(Outcome)
    assert ended.outcome is not OutcomeClass.SUCCEEDED
    assert any("rank 2 was ended by signal 9" in problem.what for problem in ended.problems), ended.problems
    assert worker.end() != 0
    until = time.monotonic() + 10
    while any(Path(f"/proc/{rank}").exists() for rank in ranks):
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(("device", "count", "offered"), [("auto", 1, 1), ("auto", 2, 2), ("cuda:1", 1, 1), ("cpu", 1, 0)])
def test_a_worker_offers_as_many_gpus_as_it_is_told_to(
    monkeypatch: pytest.MonkeyPatch, device: str, count: int, offered: int
) -> None:
    monkeypatch.setattr(supervisor, "find_gpus", lambda: parse("NVIDIA L4, 23034\nNVIDIA L4, 23034\n"))
    assert len(supervisor._offer(device, count)) == offered
