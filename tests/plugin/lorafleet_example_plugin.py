"""A third-party package as its author would write it: one plug-in of every kind.

Its family, ``waves``, learns sine waves with a small network. It is fast, and it fails on demand, so the tests of the loop use it too:
``sample_prompts`` and the data file steer nothing; the ``FAULTS`` table does.
"""

import json
import os
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from lorafleet.contracts.training import TrainingConfig
from lorafleet.datasets.checks import CheckReport
from trainer.families.base import Control, Export, MicroBatch, Placement, RowRef, Sample
from trainer.lora import LoraLayer

# Other processes are given theirs in the environment.
FAULTS: dict[str, Any] = json.loads(os.environ.get("LORAFLEET_EXAMPLE_FAULTS", "{}"))
LOGGED: list[tuple[int, dict[str, float]]] = []


class _Rows:
    def __init__(self, phases: Sequence[float]) -> None:
        self._phases = phases

    def __len__(self) -> int:
        return len(self._phases)

    def shape_key(self, index: int) -> Hashable:
        return 0

    def weight(self, index: int) -> int:
        return 1

    def collate(self, refs: Sequence[RowRef]) -> MicroBatch:
        rows = []
        for ref in refs:
            x = torch.rand(8, generator=torch.Generator().manual_seed(ref.seed))
            rows.append(torch.stack([x, torch.sin(6 * x + self._phases[ref.index])]))
        return MicroBatch({"xy": torch.stack(rows)}, (1,) * len(refs), tuple(f"wave-{ref.index}" for ref in refs))


class Waves:
    """See :class:`trainer.families.base.Family`."""

    name = "waves"
    unit = "waves"

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self.recomputes = False
        self._losses = 0

    def read(self, control: Control) -> CheckReport:
        path = Path(self._config.train_data_dir)
        self._phases = json.loads((path / "waves.json" if path.is_dir() else path).read_text())
        return CheckReport(findings=(), histogram={}, count=len(self._phases))

    def load(self, placement: Placement, control: Control) -> None:
        torch.manual_seed(0)
        self._net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
        self._net.to(placement.device, placement.compute)

    def adapted(self) -> Mapping[str, nn.Module]:
        return {"model": self._net}

    def targets(self, component: str) -> str | list[str]:
        return ["0", "2", "4"]

    def encode(self, control: Control) -> tuple[_Rows, _Rows | None]:
        if told := [os.environ.get(name, "nothing") for name in FAULTS.get("tells", ())]:
            print(f"the variables are: {told}", flush=True)
        if (key := os.environ.get(FAULTS.get("blurts", ""))) is not None:
            raise RuntimeError(f"not taken: {key}")
        for number in range(int(FAULTS.get("encode_seconds", 0) * 20)):
            control.check()
            control.progress("encoding waves", number, 100)
            time.sleep(0.05)
        return _Rows(self._phases), _Rows(self._phases[:2]) if self._config.validation_split else None

    def loss(self, batch: MicroBatch) -> Tensor:
        if (not self.recomputes and len(batch) > FAULTS.get("rows_that_fit", 10**9)) or FAULTS.get("never_fits"):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB")
        time.sleep(FAULTS.get("step_seconds", 0))
        self._losses += 1
        if self._losses == FAULTS.get("hang_at", 0):
            time.sleep(3600)
        x, y = batch.tensors["xy"].unbind(1)
        prediction = self._net(x[..., None].to(next(self._net.parameters()).dtype))[..., 0]
        losses = (prediction.float() - y).square().mean(dim=1)
        if (name := FAULTS.get("poison")) in batch.names:
            losses = losses * torch.tensor([float("nan") if row == name else 1.0 for row in batch.names])
        return losses.sum()

    def gradient_checkpointing(self, on: bool) -> None:
        self.recomputes = on

    def sample(self, prompts: Sequence[str], seed: int, control: Control) -> list[Sample]:
        for _ in range(int(FAULTS.get("sample_seconds", 0) * 20)):
            control.check()
            time.sleep(0.05)
        return [Sample(prompt, text="~" * 3) for prompt in prompts]

    def metadata(self) -> Mapping[str, str]:
        return {"lorafleet_data_sha256": str(hash(tuple(self._phases))), "lorafleet_base_sha256": "waves"}

    def export(self, layers: Sequence[LoraLayer], export: Export) -> list[Path]:
        from safetensors.torch import save_file

        if FAULTS.get("disk_full", 0) > 0:
            FAULTS["disk_full"] -= 1
            raise OSError(28, "No space left on device")
        path = export.directory / f"{export.name}.safetensors"
        tensors = {f"{layer.path}.{part}": getattr(layer, part).contiguous() for layer in layers for part in ("down", "up")}
        save_file(tensors, path, metadata=dict(export.metadata))
        return [path]


def heavy_ball(groups: Sequence[dict[str, Any]], config: TrainingConfig) -> torch.optim.Optimizer:
    """SGD with momentum."""
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9)


def staircase(config: TrainingConfig, steps: int) -> Callable[[int], float]:
    """Half as much after half of the steps."""
    return lambda step: 1.0 if step < steps / 2 else 0.5


def absolute(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of each row."""
    return (prediction - target).abs().mean(dim=(1, 2, 3))


class QuarterTurns:
    """The image upside down."""

    variants = 2
    version = "1"

    def apply(self, image: Image.Image, variant: int) -> Image.Image:
        return image.rotate(180 * variant)


class MemoryLogger:
    """Keeps what it is told."""

    def start(self, run: Any) -> None:
        LOGGED.clear()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        LOGGED.append((step, dict(values)))

    def image(self, step: int, name: str, path: Path) -> None:
        pass

    def text(self, step: int, name: str, text: str) -> None:
        pass

    def finish(self, ended: str) -> None:
        pass
