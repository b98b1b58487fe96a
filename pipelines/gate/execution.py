"""An execution as Orca tells it, in the order in which its stages run; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ENDED = frozenset({"SUCCEEDED", "TERMINAL", "CANCELED", "STOPPED", "FAILED_CONTINUE", "SKIPPED"})
GOOD = frozenset({"SUCCEEDED"})


@dataclass(frozen=True)
class StageRun:
    """One stage. Times are seconds since 1970; ``limit`` is how long it may take, in seconds; ``depth`` counts its parents."""

    id: str
    name: str
    type: str
    status: str
    depth: int = 0
    started: float | None = None
    ended: float | None = None
    limit: float | None = None
    detail: str = ""

    def took(self, now: float) -> float | None:
        """Seconds so far; None before it starts."""
        return _took(self.started, self.ended, now)


@dataclass(frozen=True)
class Run:
    """One execution of a pipeline."""

    id: str
    application: str
    name: str
    status: str
    started: float | None
    ended: float | None
    stages: tuple[StageRun, ...]

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.status in ENDED

    @property
    def good(self) -> bool:
        """Whether it ended as it should."""
        return self.status in GOOD

    @property
    def failed_stages(self) -> tuple[StageRun, ...]:
        """The stages that went wrong, or were ignored to have."""
        return tuple(stage for stage in self.stages if stage.status in ("TERMINAL", "STOPPED", "FAILED_CONTINUE"))

    def took(self, now: float) -> float | None:
        """Seconds so far; None before it starts."""
        return _took(self.started, self.ended, now)


def read_execution(execution: Mapping[str, Any]) -> Run:
    """What a person wants to know of Orca's JSON; what is not there stays empty."""
    stages = [stage for stage in execution.get("stages") or () if isinstance(stage, Mapping)]
    return Run(
        str(execution.get("id", "")),
        str(execution.get("application", "")),
        str(execution.get("name", "")),
        str(execution.get("status", "NOT_STARTED")),
        _seconds(execution.get("startTime")),
        _seconds(execution.get("endTime")),
        tuple(_tree(stages)),
    )


def _tree(stages: Sequence[Mapping[str, Any]]) -> Iterable[StageRun]:
    children: dict[str, list[Mapping[str, Any]]] = {}
    for stage in stages:
        children.setdefault(str(stage.get("parentStageId") or ""), []).append(stage)

    def under(parent: str, depth: int) -> Iterable[StageRun]:
        # Each list is taken out once, so that a parent that is its own child ends too.
        for stage in _in_order(children.pop(parent, [])):
            yield _stage(stage, depth)
            yield from under(str(stage.get("id", "")), depth + 1)

    yield from under("", 0)


def _in_order(stages: Sequence[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """Each stage after those that it waits for; in a circle, as they come."""
    left = list(stages)
    refs = {str(stage.get("refId")) for stage in stages}
    while left:
        waiting = {str(stage.get("refId")) for stage in left}
        free = [stage for stage in left if not (_waits_for(stage) & refs & waiting - {str(stage.get("refId"))})]
        yield from free or left
        if not free:
            return
        left = [stage for stage in left if not any(stage is one for one in free)]


def _waits_for(stage: Mapping[str, Any]) -> set[str]:
    return {str(ref) for ref in stage.get("requisiteStageRefIds") or ()}


def _stage(stage: Mapping[str, Any], depth: int) -> StageRun:
    context = stage.get("context") or {}
    limit = context.get("stageTimeoutMs")
    return StageRun(
        str(stage.get("id", "")),
        str(stage.get("name") or stage.get("type") or ""),
        str(stage.get("type", "")),
        str(stage.get("status", "NOT_STARTED")),
        depth,
        _seconds(stage.get("startTime")),
        _seconds(stage.get("endTime")),
        limit / 1000 if isinstance(limit, int | float) else None,
        _detail(context)
        or ("waits for a person" if stage.get("type") == "manualJudgment" and stage.get("status") == "RUNNING" else ""),
    )


def _detail(context: Mapping[str, Any]) -> str:
    """Why it failed or how far it is, in one line, from the places where Orca's tasks leave that."""
    errors = _at(context, "exception", "details", "errors")
    tasks = context.get("kato.tasks")
    found = (
        next(iter(errors), None) if isinstance(errors, list) else None,
        _at(context, "exception", "details", "error"),
        _at(context, "webhook", "monitor", "error"),
        _at(context, "webhook", "error"),
        _at(tasks[-1], "exception", "message") if isinstance(tasks, list) and tasks else None,
        _at(context, "webhook", "monitor", "progressMessage"),
        context.get("progressMessage"),
    )
    return next((" ".join(text.split()) for text in found if isinstance(text, str) and text.strip()), "")


def _at(value: Any, *path: str) -> Any:
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _seconds(milliseconds: Any) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, int | float) else None


def _took(started: float | None, ended: float | None, now: float) -> float | None:
    return None if started is None else max(0.0, (now if ended is None else ended) - started)
