"""What a worker asks of a run while it goes: save now, finish now."""

import json
from pathlib import Path
from typing import Any

from trainer import LoRATrainer, checkpoint
from trainer.reporting import SilentReporter, StepFacts
from trainer.signals import StopRequests


class Asking(SilentReporter):
    """Asks for a checkpoint after step 3 and for the end after step 6, as a heartbeat's reply would."""

    def __init__(self, stop: StopRequests) -> None:
        self._stop = stop
        self.saved: list[int] = []
        self.sampled: list[Any] = []

    def step(self, facts: StepFacts) -> None:
        if facts.step == 3:
            self._stop.request_save()
        elif facts.step == 6:
            self._stop.request_finish()

    def event(self, kind: str, values: Any) -> None:
        if kind == "checkpoint":
            self.saved.append(values["step"])
        elif kind == "samples":
            self.sampled.append((values["step"], [file["prompt"] for file in values["files"]]))


def test_a_run_saves_when_asked_and_ends_well_when_asked(tmp_path: Path) -> None:
    data = tmp_path / "waves.json"
    data.write_text(json.dumps([0.1 * number for number in range(10)]))
    stop = StopRequests()
    reporter = Asking(stop)
    config = {
        "train_data_dir": str(data), "base_model": str(data), "family": "waves", "output_dir": str(tmp_path / "out"),
        "lora_rank": 2, "batch_size": 4, "max_steps": 100, "epochs": 1000, "save_steps": 0, "device": "cpu",
        "sample_prompts": ["a wave"], "sample_every": 5,
    }  # fmt: skip
    result = LoRATrainer(config, reporter=reporter, stop=stop).train()
    assert result.steps == 6
    assert [path.exists() for path in result.files] == [True]
    assert reporter.saved == [3, 6]
    assert reporter.sampled == [(0, ["a wave"]), (5, ["a wave"])]
    newest = checkpoint.newest(tmp_path / "out" / "checkpoints")
    assert newest is not None
    assert checkpoint.read(newest).position.step == 6
