"""Waits between tries that grow and never fall into step with those of other workers."""

import random
from dataclasses import dataclass, field


@dataclass
class Backoff:
    """Waits in seconds: ``first``, doubling to ``longest``, each shortened at random by up to a half."""

    first: float = 0.5
    longest: float = 10.0
    dice: random.Random = field(default_factory=random.Random)
    failures: int = 0

    def wait(self) -> float:
        """The wait after one more failure."""
        # Beyond 2**30 the power itself would become a problem.
        whole = min(self.longest, self.first * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return whole * self.dice.uniform(0.5, 1.0)

    def reset(self) -> None:
        """After a success."""
        self.failures = 0
