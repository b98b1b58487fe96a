"""How fast a run goes, and what it loses beside the training itself."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from torch.utils.flop_counter import FlopCounterMode

# Weight of the newest step in the smoothed time; about the last twenty steps count.
_SMOOTHING = 0.05


class Throughput:
    """Seconds per step, rows per second and model FLOPs utilization (MFU).

    Times are taken from step to step, so that work queued on a device counts where the host waits for it. ``peak_flops`` is the
    device's dense peak in the run's precision, or None where it is unknown; only then are the first step's FLOPs not counted.
    """

    def __init__(self, unit: str, peak_flops: float | None) -> None:
        self.unit = unit
        self.seconds_per_step = 0.0
        self.rows_per_second = 0.0
        self.training_seconds = 0.0
        self.beside_seconds = 0.0
        self.first_step_seconds: float | None = None
        self._peak = peak_flops
        self._flops_per_row: float | None = None
        self._last = 0.0
        self._pause = 0.0
        self._steps = 0

    @property
    def mfu(self) -> float | None:
        """Share of the device's peak that the model's own arithmetic reaches."""
        if self._peak is None or self._flops_per_row is None or not self.rows_per_second:
            return None
        return self._flops_per_row * self.rows_per_second / self._peak

    @property
    def beside_share(self) -> float:
        """Share of the time that went into logging, progress and starting checkpoints."""
        total = self.training_seconds
        return self.beside_seconds / total if total else 0.0

    @property
    def mean_steps_per_second(self) -> float:
        """Over the whole run but its first step, which pays for warm-up."""
        seconds = self.training_seconds - (self.first_step_seconds or 0.0)
        return (self._steps - 1) / seconds if seconds else 0.0

    def start(self) -> None:
        """The clock of the first step starts."""
        self._last = time.perf_counter()

    @contextmanager
    def measured(self, step: int, weight: int) -> Iterator[None]:
        """Around one step."""
        if self._peak is not None and self._flops_per_row is None:
            with FlopCounterMode(display=False) as counter:
                yield
            self._flops_per_row = counter.get_total_flops() / max(weight, 1)
        else:
            yield
        now = time.perf_counter()
        seconds = max(now - self._last - self._pause, 1e-9)
        self._last, self._pause = now, 0.0
        self.training_seconds += seconds
        self._steps += 1
        if self.first_step_seconds is None:
            self.first_step_seconds = seconds
            self.seconds_per_step, self.rows_per_second = seconds, weight / seconds
            return
        # The first step pays for warm-up; it must not colour the average for long.
        share = max(_SMOOTHING, 1 / (self._steps - 1))
        self.seconds_per_step += share * (seconds - self.seconds_per_step)
        self.rows_per_second += share * (weight / seconds - self.rows_per_second)

    @contextmanager
    def beside_training(self) -> Iterator[None]:
        """Around logging, progress and the start of a checkpoint."""
        started, paused = time.perf_counter(), self._pause
        yield
        self.beside_seconds += time.perf_counter() - started - (self._pause - paused)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Around validation and samples, which are no part of a step's time."""
        started = time.perf_counter()
        yield
        self._pause += time.perf_counter() - started
