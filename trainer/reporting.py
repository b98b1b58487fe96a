"""What a person, or a machine, sees of a run while it goes."""

import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from lorafleet.datasets.checks import CheckReport
from lorafleet.datasets.report_view import print_report


@dataclass(frozen=True)
class StepFacts:
    """One finished step. ``rate`` is images or tokens a second; ``mfu`` a share of the device's peak, or None where it is unknown."""

    step: int
    total: int
    epoch: int
    loss: float
    learning_rate: float
    seconds: float
    rate: float
    unit: str
    mfu: float | None = None


class Reporter(Protocol):
    """Where a run speaks to."""

    def say(self, text: str) -> None:
        """A line of news."""
        ...

    def warn(self, text: str) -> None:
        """A line that a person should act on some day."""
        ...

    def data(self, report: CheckReport, noun: str) -> None:
        """What the check of the data set found; ``noun`` is what the set holds."""
        ...

    def phase(self, what: str, done: int, total: int) -> None:
        """How far a phase other than training is."""
        ...

    def step(self, facts: StepFacts) -> None:
        """How far training is."""
        ...

    def event(self, kind: str, values: Mapping[str, Any]) -> None:
        """Something that happened, for machines."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


class ConsoleReporter:
    """A progress bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console | None = None, every_seconds: float = 5.0) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._every = every_seconds
        self._last = 0.0
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._what = ""

    def say(self, text: str) -> None:
        """See :class:`Reporter`."""
        self.console.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """See :class:`Reporter`."""
        self.console.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)

    def data(self, report: CheckReport, noun: str) -> None:
        """See :class:`Reporter`."""
        print_report(report, self.console, noun=noun)

    def phase(self, what: str, done: int, total: int) -> None:
        """See :class:`Reporter`."""
        self._show(what, done, total, "")

    def step(self, facts: StepFacts) -> None:
        """See :class:`Reporter`."""
        loss = "  …   " if math.isnan(facts.loss) else f"{facts.loss:.4f}"
        words = f"loss {loss}  {facts.rate:.3g} {facts.unit}/s  {1 / max(facts.seconds, 1e-9):.3g} steps/s"
        if facts.mfu is not None:
            words += f"  MFU {facts.mfu:.0%}"
        self._show("training", facts.step, facts.total, words, facts.seconds * (facts.total - facts.step))

    def event(self, kind: str, values: Mapping[str, Any]) -> None:
        """Nothing: events are for machines."""

    def close(self) -> None:
        """See :class:`Reporter`."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _show(self, what: str, done: int, total: int, words: str, eta: float | None = None) -> None:
        if not self.console.is_terminal:
            now = time.monotonic()
            if what != self._what:
                self._last, self._what = now, what
            if done >= total or now - self._last >= self._every:
                self._last = now
                left = f"  ETA {_clock(eta)}" if eta else ""
                self.say(f"{what} {done}/{total}  {words}{left}".rstrip())
            return
        if self._progress is None or what != self._what:
            self.close()
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=12),
                MofNCompleteColumn(),
                TextColumn("{task.fields[words]}"),
                TextColumn("ETA"),
                TimeRemainingColumn(compact=True),
            )
            self._progress = Progress(*columns, console=self.console, refresh_per_second=4)
            self._progress.start()
            self._task, self._what = self._progress.add_task(what, total=total, words=words), what
        assert self._task is not None
        self._progress.update(self._task, completed=done, total=total, words=words)
        if done >= total:
            self.close()


class JsonReporter:
    """One JSON object a line, on stdout."""

    def __init__(self, out: IO[str] | None = None) -> None:
        self._out = out or sys.stdout

    def say(self, text: str) -> None:
        """See :class:`Reporter`."""
        self.event("news", {"text": text})

    def warn(self, text: str) -> None:
        """See :class:`Reporter`."""
        self.event("warning", {"text": text})

    def data(self, report: CheckReport, noun: str) -> None:
        """See :class:`Reporter`."""
        self.event("data", {"noun": noun, "report": json.loads(report.as_json())})

    def phase(self, what: str, done: int, total: int) -> None:
        """See :class:`Reporter`."""
        self.event("phase", {"what": what, "done": done, "total": total})

    def step(self, facts: StepFacts) -> None:
        """See :class:`Reporter`."""
        self.event("step", asdict(facts))

    def event(self, kind: str, values: Mapping[str, Any]) -> None:
        """See :class:`Reporter`."""
        self._out.write(json.dumps({"event": kind, **values}, default=str) + "\n")
        self._out.flush()

    def close(self) -> None:
        """Nothing to leave."""


class SilentReporter:
    """Says nothing: for ranks other than the first, and for tests."""

    def say(self, text: str) -> None:
        """See :class:`Reporter`."""

    def warn(self, text: str) -> None:
        """See :class:`Reporter`."""

    def data(self, report: CheckReport, noun: str) -> None:
        """See :class:`Reporter`."""

    def phase(self, what: str, done: int, total: int) -> None:
        """See :class:`Reporter`."""

    def step(self, facts: StepFacts) -> None:
        """See :class:`Reporter`."""

    def event(self, kind: str, values: Mapping[str, Any]) -> None:
        """See :class:`Reporter`."""

    def close(self) -> None:
        """See :class:`Reporter`."""


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
