"""Losses are looked at one step late, so that the device never waits for the host, and never later than that."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorafleet.contracts.problems import NonFiniteError


@dataclass(frozen=True)
class SeenLoss:
    """The mean loss of a step and the norm of its gradient before clipping."""

    step: int
    loss: float
    grad_norm: float


@dataclass
class _Pending:
    step: int
    names: Sequence[Sequence[str]]
    values: Tensor
    ready: torch.cuda.Event | None


class LossWatch:
    """Collects each step's numbers, ``delay`` steps late, and stops the run at the first one that is not finite."""

    def __init__(self, delay: int = 1) -> None:
        self._delay = delay
        self._pending: deque[_Pending] = deque()

    def push(self, step: int, losses: Tensor, grad_norm: Tensor, names: Sequence[Sequence[str]]) -> None:
        """``losses`` holds one number per micro-batch, already divided by the step's weight; ``names`` the files of each."""
        values = torch.cat([losses.detach().float(), grad_norm.detach().float().reshape(1)])
        ready = None
        if values.is_cuda:
            host = torch.empty(values.shape, pin_memory=True)
            host.copy_(values, non_blocking=True)
            ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            ready.record()
            values = host
        self._pending.append(_Pending(step, names, values, ready))

    def collect(self, everything: bool = False) -> list[SeenLoss]:
        """The steps that are old enough, or all.

        Raises:
            NonFiniteError: a loss or gradient norm was NaN or infinite; names the step and the files.
        """
        seen = []
        while self._pending and (everything or len(self._pending) > self._delay):
            entry = self._pending.popleft()
            if entry.ready is not None:
                entry.ready.synchronize()
            *losses, norm = entry.values.tolist()
            bad = [name for loss, names in zip(losses, entry.names, strict=True) if not math.isfinite(loss) for name in names]
            if bad:
                self._fail(entry.step, "the loss", bad)
            if not math.isfinite(norm):
                self._fail(entry.step, "the gradient", [name for names in entry.names for name in names])
            seen.append(SeenLoss(entry.step, sum(losses), norm))
        return seen

    def _fail(self, step: int, what: str, names: Sequence[str]) -> None:
        self._pending.clear()
        shown = ", ".join(dict.fromkeys(names))
        raise NonFiniteError(
            f"{what} of step {step + 1} is not finite; its files: {shown}",
            hint="look at these files, lower learning_rate, or use precision: bf16 or fp32; the last checkpoint is good",
        )
