"""Where Gate holds something else than a spec says, told from Gate's side."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.text import Text

from pipelines.gate.diff import Difference
from pipelines.gate.plan import Action, Json, Plan
from pipelines.gate.plan_view import difference_line


class State(StrEnum):
    """How a pipeline stands. ``extra``: it has our tag, and the spec does not have it."""

    SAME = "same"
    CHANGED = "changed"
    MISSING = "missing"
    EXTRA = "extra"


@dataclass(frozen=True)
class Drift:
    """One pipeline, or the canary config; ``by`` and ``at`` tell of a pipeline's last change in Gate."""

    name: str
    state: State
    by: str = ""
    at: str = ""
    differences: tuple[Difference, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        found = [difference.to_json() for difference in self.differences]
        return {"name": self.name, "state": self.state, "by": self.by, "at": self.at, "differences": found}


_STATES = {Action.KEEP: State.SAME, Action.UPDATE: State.CHANGED, Action.CREATE: State.MISSING, Action.DELETE: State.EXTRA}
_STYLES = {State.SAME: "dim", State.CHANGED: "yellow", State.MISSING: "red", State.EXTRA: "magenta"}


def find_drift(plan: Plan, held: Sequence[Json]) -> tuple[Drift, ...]:
    """The drift of each pipeline; ``plan`` is one that would prune."""
    by_name = {str(pipeline.get("name")): pipeline for pipeline in held}
    drifts = []
    for change in plan.changes:
        there = by_name.get(change.base.name, {}) if change.base is not None else {}
        found = change.differences if change.action is Action.UPDATE else ()
        drifts.append(
            Drift(change.name, _STATES[change.action], str(there.get("lastModifiedBy") or ""), _time(there.get("updateTs")), found)
        )
    return tuple(drifts)


def config_drift(plan: Plan) -> Drift | None:
    """The drift of the canary config, if the spec has one. Kayenta does not know who changed it."""
    change = plan.canary_config
    if change is None:
        return None
    return Drift(change.name, _STATES[change.action], differences=change.differences if change.action is Action.UPDATE else ())


def print_drift(drifts: Sequence[Drift], application: str, console: Console) -> None:
    """Print what is not the same; each place with what Gate holds and what the spec says."""
    for drift in drifts:
        line = Text(f"{drift.state:<8} {application}/{drift.name}", _STYLES[drift.state])
        if drift.state in (State.CHANGED, State.EXTRA) and (drift.by or drift.at):
            line.append(f", last changed{f' by {drift.by}' if drift.by else ''}{f' at {drift.at}' if drift.at else ''}")
        console.print(line, soft_wrap=True)
        for difference in drift.differences:
            console.print(difference_line(difference), soft_wrap=True)


def _time(stamp: Any) -> str:
    text = str(stamp or "")
    return datetime.fromtimestamp(int(text) / 1000, UTC).isoformat(timespec="seconds") if text.isdecimal() else ""
