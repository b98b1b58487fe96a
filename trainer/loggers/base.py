"""What a logger is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lorafleet.contracts.training import TrainingConfig


@dataclass(frozen=True)
class RunFacts:
    """A run as loggers see it. ``resumed_step`` steps were done by earlier processes, ``facts`` come from the family."""

    name: str
    directory: Path
    config: TrainingConfig
    resumed_step: int
    total_steps: int
    facts: Mapping[str, str]


class Logger(Protocol):
    """Receives numbers and samples, in the order of steps. May raise anything: it is then left out, and training goes on."""

    def start(self, run: RunFacts) -> None:
        """The run begins, or goes on from ``run.resumed_step``: what was logged for later steps is void."""
        ...

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers after ``step`` steps."""
        ...

    def image(self, step: int, name: str, path: Path) -> None:
        """A sample image."""
        ...

    def text(self, step: int, name: str, text: str) -> None:
        """A sample text."""
        ...

    def finish(self, ended: str) -> None:
        """The run ended: ``finished``, ``preempted``, ``interrupted``, or what failed."""
        ...


LoggerFactory = Callable[[], Logger]
