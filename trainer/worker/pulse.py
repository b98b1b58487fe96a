"""Whether the training loop moves. Heartbeats come from a thread that would go on although the loop hangs."""

import threading
import time
from collections.abc import Callable

from lorafleet.contracts.jobs import Phase
from trainer.signals import StopRequests


class Pulse:
    """The loop's last sign of life, its phase and its step. Until :meth:`watch` and after :meth:`rest` nothing is expected of it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last: float | None = None
        self._phase = Phase.PREPARING
        self._step = 0

    def watch(self) -> None:
        """From now on the loop has to move."""
        with self._lock:
            self._last = self._clock()

    def rest(self, phase: Phase) -> None:
        """The loop has ended, or has not begun."""
        with self._lock:
            self._last, self._phase = None, phase

    def beat(self, phase: Phase | None = None, step: int | None = None) -> None:
        """A sign of life."""
        with self._lock:
            if self._last is not None:
                self._last = self._clock()
            self._phase = phase or self._phase
            self._step = self._step if step is None else step

    @property
    def now(self) -> tuple[Phase, int]:
        """Phase and number of steps done."""
        with self._lock:
            return self._phase, self._step

    @property
    def silence(self) -> float:
        """Seconds since the last sign of life; 0 while none is expected."""
        with self._lock:
            return 0.0 if self._last is None else self._clock() - self._last


class WatchedStop(StopRequests):
    """Stop requests whose every check, which all long work makes, is a sign of life."""

    def __init__(self, pulse: Pulse) -> None:
        super().__init__()
        self._pulse = pulse

    def check(self) -> None:
        """See :class:`~trainer.signals.StopRequests`."""
        self._pulse.beat()
        super().check()
