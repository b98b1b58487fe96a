"""An execution as it goes: a tree on a terminal, a line for each change elsewhere, JSON lines for machines."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lorafleet.contracts.durations import format_duration
from pipelines.gate.execution import ENDED, Run, StageRun

Show = Callable[[Run], None]

_STYLES: Mapping[str, str] = {
    "SUCCEEDED": "green",
    "RUNNING": "cyan",
    "TERMINAL": "bold red",
    "STOPPED": "red",
    "FAILED_CONTINUE": "yellow",
    "CANCELED": "magenta",
    "PAUSED": "cyan",
}
_MARKS: Mapping[str, str] = {
    "SUCCEEDED": "✔",
    "RUNNING": "▶",
    "TERMINAL": "✘",
    "STOPPED": "✘",
    "FAILED_CONTINUE": "!",
    "CANCELED": "■",
    "SKIPPED": "·",
    "PAUSED": "‖",
}


@contextmanager
def showing(*, as_json: bool, console: Console | None = None) -> Iterator[Show]:
    """What shows each state of a run, for a person at a terminal, a log file or a machine."""
    console = console or Console(highlight=False)
    if as_json:
        yield _JsonLines()
    elif console.is_terminal:
        states: list[Run] = []
        with Live(console=console, auto_refresh=False, transient=True) as live:

            def show(run: Run) -> None:
                states[:] = [run]
                live.update(tree(run, time.time(), console.height), refresh=True)

            yield show
        for run in states:
            console.print(tree(run, time.time()))
    else:
        yield _Lines(console)


def tree(run: Run, now: float, height: int | None = None) -> RenderableType:
    """The run as a table of its stages; of more than ``height`` lines only those that matter now."""
    stages = run.stages if height is None else that_fit(run.stages, height - 4)
    table = Table(box=None, show_header=False, pad_edge=False, expand=False)
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(no_wrap=height is not None, overflow="ellipsis" if height is not None else "fold")
    for stage in stages:
        style = _STYLES.get(stage.status, "dim")
        table.add_row(
            Text(f"{'  ' * stage.depth}{_MARKS.get(stage.status, ' ')} {stage.name}", style),
            Text("" if stage.status == "NOT_STARTED" else stage.status.lower(), style),
            time_of(stage, now),
            Text(stage.detail, "dim"),
        )
    done = sum(stage.status in ENDED for stage in run.stages)
    title = Text.assemble((_title(run, now), "bold"), f", {done} of {len(run.stages)} stages done")
    left = len(run.stages) - len(stages)
    return Group(title, table, *([Text(f"and {left} more stages", "dim")] if left else []))


def that_fit(stages: Sequence[StageRun], lines: int) -> list[StageRun]:
    """In their order: what runs or went wrong, then the next to come, then the last that are done, then what was skipped."""
    index = {stage.id: number for number, stage in enumerate(stages)}

    def rank(stage: StageRun) -> tuple[int, float]:
        if stage.status == "SKIPPED":
            return 3, index[stage.id]
        if stage.status == "SUCCEEDED":
            return 2, -(stage.ended or 0.0)
        return int(stage.status == "NOT_STARTED"), index[stage.id]

    return sorted(sorted(stages, key=rank)[: max(1, lines)], key=lambda stage: index[stage.id])


def time_of(stage: StageRun, now: float) -> Text:
    """How long it has taken, of how long it may; yellow once four fifths are gone."""
    took = stage.took(now)
    limit = "" if stage.limit is None else f" of {_clock(stage.limit)}"
    if took is None:
        return Text(f"may take {_clock(stage.limit)}" if stage.limit is not None else "", "dim")
    late = stage.limit is not None and stage.ended is None and took > 0.8 * stage.limit
    return Text(f"{_clock(took)}{limit}", "yellow" if late else "")


def _title(run: Run, now: float) -> str:
    took = run.took(now)
    return f"{run.application}/{run.name} {run.status.lower()}" + (f" after {_clock(took)}" if took is not None else "")


def _clock(seconds: float | None) -> str:
    return "" if seconds is None else format_duration(timedelta(seconds=int(seconds)))


class _Changes:
    """Which stages' status is another than in the state before."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def of(self, run: Run) -> list[StageRun]:
        changed = [stage for stage in run.stages if self._seen.get(stage.id, "NOT_STARTED") != stage.status]
        self._seen.update({stage.id: stage.status for stage in run.stages})
        return changed

    def whole(self, run: Run) -> bool:
        """Whether the run's own status changed."""
        before, self._seen[""] = self._seen.get(""), run.status
        return before != run.status


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._changes = _Changes()

    def __call__(self, run: Run) -> None:
        now = time.time()
        for stage in self._changes.of(run):
            detail = f": {stage.detail}" if stage.detail else ""
            line = f"{stage.status.lower():<15} {'  ' * stage.depth}{stage.name}  {time_of(stage, now).plain}{detail}"
            self._console.print(line.rstrip(), markup=False, soft_wrap=True)
        if self._changes.whole(run):
            self._console.print(_title(run, now), markup=False, soft_wrap=True)


class _JsonLines:
    def __init__(self) -> None:
        self._changes = _Changes()

    def __call__(self, run: Run) -> None:
        for stage in self._changes.of(run):
            self._print({"event": "stage", **asdict(stage)})
        if self._changes.whole(run):
            values = {"id": run.id, "application": run.application, "name": run.name, "status": run.status}
            self._print({"event": "execution", **values, "started": run.started, "ended": run.ended})

    @staticmethod
    def _print(values: Mapping[str, object]) -> None:
        print(json.dumps(values), file=sys.stdout, flush=True)
