"""A job that moves from worker to worker ends with the bits that one worker alone would have given it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from protocol_server import ProtocolServer
from safetensors.torch import load
from worker_bed import RunningWorker

from lorafleet.contracts.jobs import CheckpointPublished, Outcome, Progress
from lorafleet.contracts.outcomes import OutcomeClass
from trainer.tiny.causal_lm import make_llama

TRAINING: dict[str, Any] = {
    "base_model": "tiny-llama",
    "family": "causal_lm",
    "lora_rank": 2,
    "lora_dropout": 0.1,
    "batch_size": 2,
    "max_length": 64,
    "packing": False,
    "epochs": 1000,
    "learning_rate": 1e-3,
    "save_steps": 20,
    "log_every": 5,
    "export_precision": "fp32",
    "output_name": "style",
}


def test_handed_back_and_gone_on_with_elsewhere_the_bits_are_the_same(
    console: ProtocolServer, start_worker: Callable[..., RunningWorker], tmp_path: Path
) -> None:
    make_llama(tmp_path / "models")
    del console.stores["near"]["datasets/set/v1/waves.json"], console.stores["far"]["datasets/set/v1/waves.json"]
    rows = [{"prompt": f"Count to {number}.", "completion": " ".join(map(str, range(number)))} for number in range(1, 25)]
    console.dataset({"rows.jsonl": "\n".join(map(json.dumps, rows)).encode()})

    console.submit("moved", {**TRAINING, "max_steps": 1_000_000})
    first = start_worker("w-first")
    console.wait(Progress, where=lambda point: point.step >= 5)
    first.terminate()
    assert first.end() == 0
    handed_back = console.all(Outcome)[-1]
    assert (handed_back.outcome, handed_back.exit_code) == (OutcomeClass.PREEMPTED, 75)
    last = console.all(CheckpointPublished)[-1]
    assert last.step == handed_back.step, "the step at which it was told to end is published"

    end = last.step + 30
    # The nearest store lost it meanwhile; the other one gives it.
    del console.stores["near"][last.objects[0].key]
    console.submit("moved", {**TRAINING, "max_steps": end}, console.resume_point("moved"))
    console.submit("whole", {**TRAINING, "max_steps": end})
    workers = [start_worker(name, "--once") for name in ("w-second", "w-third")]
    assert [worker.end() for worker in workers] == [0, 0]
    moved, whole = (console.all(Outcome, job)[-1] for job in ("moved", "whole"))
    assert f"going on from step {last.step}" in moved.log_tail
    assert moved.fence == last.fence + 1
    weights = [load(console.stores["far"][outcome.outputs[0].key]) for outcome in (whole, moved)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert console.refused == []
