"""A run's reporter inside the training process: numbers and files go to the supervisor, words to the log."""

import math
import re
import time
from collections.abc import Mapping
from typing import Any

from lorafleet.contracts.jobs import MAX_METRICS, Phase
from lorafleet.datasets.checks import CheckReport
from trainer import checkpoint
from trainer.reporting import ConsoleReporter, StepFacts
from trainer.worker.channel import LineWriter, Sampled, SampleFile, Saved, Stepped
from trainer.worker.pulse import Pulse

_METRIC = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TELL_SECONDS = 0.5
_PROMPT_LENGTH = 2000


class PipeReporter:
    """See :class:`trainer.reporting.Reporter`. ``words`` writes the log's lines."""

    def __init__(self, supervisor: LineWriter, pulse: Pulse, words: ConsoleReporter) -> None:
        self._supervisor = supervisor
        self._pulse = pulse
        self._words = words
        self._total = 0
        self._told = 0.0
        self._seconds_left: float | None = None

    def say(self, text: str) -> None:
        """See :class:`~trainer.reporting.Reporter`."""
        self._words.say(text)

    def warn(self, text: str) -> None:
        """See :class:`~trainer.reporting.Reporter`."""
        self._words.warn(text)

    def data(self, report: CheckReport, noun: str) -> None:
        """See :class:`~trainer.reporting.Reporter`."""
        self._words.data(report, noun)

    def phase(self, what: str, done: int, total: int) -> None:
        """See :class:`~trainer.reporting.Reporter`."""
        self._pulse.beat(Phase.SAMPLING if what == "sampling" else None)
        self._words.phase(what, done, total)

    def step(self, facts: StepFacts) -> None:
        """See :class:`~trainer.reporting.Reporter`."""
        self._total = facts.total
        left = facts.seconds * (facts.total - facts.step)
        self._seconds_left = left if math.isfinite(left) else None
        self._pulse.beat(Phase.SAVING if facts.step == facts.total else Phase.TRAINING, facts.step)
        now = time.monotonic()
        if now - self._told >= _TELL_SECONDS or facts.step == facts.total:
            self._told = now
            self._supervisor.write(Stepped(step=facts.step, total=facts.total, seconds_left=self._seconds_left))
        self._words.step(facts)

    def event(self, kind: str, values: Mapping[str, Any]) -> None:
        """See :class:`~trainer.reporting.Reporter`."""
        self._pulse.beat()
        if kind == "scalars" and self._total:
            metrics = _metrics({key: value for key, value in values.items() if key != "step"})
            line = Stepped(step=values["step"], total=self._total, seconds_left=self._seconds_left, metrics=metrics)
            self._supervisor.write(line)
        elif kind == "samples":
            files = tuple(SampleFile(path=file["path"], prompt=file["prompt"][:_PROMPT_LENGTH]) for file in values["files"])
            self._supervisor.write(Sampled(step=values["step"], files=files))
        elif kind == "checkpoint":
            self._supervisor.write(Saved(step=values["step"], path=values["path"], format_version=checkpoint.FORMAT))

    def close(self) -> None:
        """See :class:`~trainer.reporting.Reporter`."""
        self._words.close()


def _metrics(values: Mapping[str, Any]) -> dict[str, float]:
    """What the console takes: finite numbers under plain names. A loss that is not finite ends the run by itself."""
    good = {key: float(value) for key, value in values.items() if _METRIC.fullmatch(key) and math.isfinite(float(value))}
    return dict(list(good.items())[:MAX_METRICS])
