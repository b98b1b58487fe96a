"""The seam between the training loop and the model families.

The loop knows optimizers, steps and saving; a family knows a model: how it is loaded, how data is encoded for it, what its
loss is, how its LoRA is exported. A third-party family implements :class:`Family` and registers under the entry point group
``lorafleet.families``.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from lorafleet.contracts.training import TrainingConfig
from trainer.lora import LoraLayer

if TYPE_CHECKING:
    from lorafleet.datasets.checks import CheckReport


@dataclass(frozen=True)
class Placement:
    """Where and in what precision a run computes. ``compute`` is the autocast type; LoRA weights are always fp32."""

    device: torch.device
    compute: torch.dtype

    @property
    def autocast(self) -> bool:
        """Whether forward passes run under autocast."""
        return self.compute != torch.float32


@dataclass(frozen=True)
class RowRef:
    """One row of a batch: which example, and the seed of everything random about it (noise, timestep, variant)."""

    index: int
    seed: int


@dataclass(frozen=True)
class MicroBatch:
    """Rows that go through the model together.

    ``tensors`` are all batch-first, so that a batch can be cut in two when memory runs out; ``weights`` holds each row's share
    in the loss (1 for an image, the number of target tokens for text); ``names`` says where each row came from.
    """

    tensors: Mapping[str, Tensor]
    weights: tuple[int, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def halves(self) -> tuple["MicroBatch", "MicroBatch"]:
        """Two batches that together hold the same rows."""
        middle = (len(self) + 1) // 2
        first, second = slice(None, middle), slice(middle, None)
        return self._cut(first), self._cut(second)

    def to(self, device: torch.device) -> "MicroBatch":
        """The same rows on a device; pinned memory is copied without waiting."""
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in self.tensors.items()}
        return MicroBatch(moved, self.weights, self.names)

    def pinned(self) -> "MicroBatch":
        """The same rows in page-locked memory."""
        return MicroBatch({name: tensor.pin_memory() for name, tensor in self.tensors.items()}, self.weights, self.names)

    def _cut(self, rows: slice) -> "MicroBatch":
        cut = {name: tensor[rows] for name, tensor in self.tensors.items()}
        return MicroBatch(cut, self.weights[rows], self.names[rows])


class EncodedSet(Protocol):
    """A data set in the form the model eats, addressed by example number."""

    def __len__(self) -> int: ...

    def shape_key(self, index: int) -> Hashable:
        """Only examples with equal keys may share a micro-batch."""
        ...

    def weight(self, index: int) -> int:
        """The example's share in the loss, known before it is loaded."""
        ...

    def collate(self, refs: Sequence[RowRef]) -> MicroBatch:
        """Load rows as CPU tensors. A pure function of ``refs``; called from prefetch threads."""
        ...


class Control(Protocol):
    """How long work reports progress and learns that it must stop."""

    def check(self) -> None:
        """Raise :class:`~lorafleet.contracts.problems.Preempted` or ``Interrupted`` when the run has been told to stop."""
        ...

    def progress(self, what: str, done: int, total: int) -> None:
        """Say how far a named phase is."""
        ...

    def warn(self, text: str) -> None:
        """Say in one line what a person should know, such as examples that were cut."""
        ...


@dataclass(frozen=True)
class Export:
    """What an export needs besides the weights. ``metadata`` goes into the file's header; values are strings."""

    directory: Path
    name: str
    format: str
    dtype: torch.dtype
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Sample:
    """One sample: a picture (``image`` is a PIL image) or a text, for one of the configured prompts."""

    prompt: str
    image: Any = None
    text: str = ""


@runtime_checkable
class Family(Protocol):
    """One kind of base model. Methods are called in the order in which they stand here."""

    name: str
    unit: str
    """What throughput counts: ``images`` or ``tokens``."""

    def read(self, control: Control) -> "CheckReport":
        """Read and check the data set; needs no model. Findings that forbid training raise ``DataError``."""
        ...

    def load(self, placement: Placement, control: Control) -> None:
        """Load the base, frozen, and raise ``ConfigError`` unless every weight it needs was found."""
        ...

    def adapted(self) -> Mapping[str, nn.Module]:
        """The modules that get a LoRA, by component: ``unet``, ``text_encoder``, ``text_encoder_2`` or ``model``."""
        ...

    def targets(self, component: str) -> str | list[str]:
        """peft's ``target_modules`` for a component: a regular expression, or module names or their endings."""
        ...

    def encode(self, control: Control) -> tuple[EncodedSet, EncodedSet | None]:
        """Encode the training set and, where there is one, the validation set; use and fill the caches."""
        ...

    def loss(self, batch: MicroBatch) -> Tensor:
        """The weighted *sum* of the rows' losses, a scalar on the device (the loop divides by the step's total weight)."""
        ...

    def gradient_checkpointing(self, on: bool) -> None:
        """Trade compute for memory, or back."""
        ...

    def sample(self, prompts: Sequence[str], seed: int, control: Control) -> list[Sample]:
        """One sample a prompt, the same for the same weights and seed."""
        ...

    def metadata(self) -> Mapping[str, str]:
        """The family's own entries for the exported file's header.

        ``lorafleet_data_sha256`` and ``lorafleet_base_sha256`` must be among them: a run is only resumed with the same.
        """
        ...

    def export(self, layers: Sequence[LoraLayer], export: Export) -> list[Path]:
        """Write files that other people's tools load; each appears whole or not at all."""
        ...


FamilyFactory = Callable[[TrainingConfig], Family]
