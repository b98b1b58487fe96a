"""How long to wait before trying again."""

from collections.abc import Callable
from dataclasses import dataclass
from random import random


@dataclass(frozen=True)
class Backoff:
    """Exponential back-off with jitter, in seconds: many workers that lost one store must not come back in one moment."""

    first: float = 1.0
    longest: float = 60.0

    def wait(self, failures: int, draw: Callable[[], float] = random) -> float:
        """Seconds to wait after ``failures`` (>= 1) failures in a row; ``draw`` gives a number in [0, 1)."""
        full = min(self.longest, self.first * 2.0 ** min(failures - 1, 60))
        return full * (0.5 + 0.5 * draw())
