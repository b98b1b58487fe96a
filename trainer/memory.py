"""Running out of device memory, and using less of it."""

from collections.abc import Callable, Iterable
from typing import Protocol

import torch

from trainer.families.base import MicroBatch

# Beyond this share of the device, fragmentation or a larger bucket soon ends a run that the first step survived.
PRESSURE = 0.92


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or on a CPU the allocator, had no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "CUBLAS_STATUS_ALLOC_FAILED" in text)


def fit(batches: Iterable[MicroBatch], rows: int) -> list[MicroBatch]:
    """The same rows in micro-batches of at most ``rows``."""
    fitting: list[MicroBatch] = []
    for batch in batches:
        fitting += [batch] if len(batch) <= rows else fit(batch.halves(), rows)
    return fitting


class MemoryProbe(Protocol):
    """What is known of the device's memory."""

    def peak_share(self) -> float | None:
        """The largest share of the device's memory used so far, or None where that means nothing."""
        ...


class DeviceMemory:
    """The memory of a CUDA device; of nothing elsewhere."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def peak_share(self) -> float | None:
        """See :class:`MemoryProbe`."""
        if self._device.type != "cuda":
            return None
        return torch.cuda.max_memory_reserved(self._device) / torch.cuda.get_device_properties(self._device).total_memory


def release(device: torch.device) -> None:
    """Give cached blocks back, so that smaller ones can be made of them."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


ProbeFactory = Callable[[torch.device], MemoryProbe]
