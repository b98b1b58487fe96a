"""What Orca does with a pipeline's JSON, as far as graphs, failure flags, conditions and cancelling go. Time is simulated.

From the references: a stage is ready once all before it are SUCCEEDED, FAILED_CONTINUE or SKIPPED; a failure becomes
FAILED_CONTINUE, TERMINAL or STOPPED by its flags; TERMINAL cancels what runs; a stageEnabled that is false, or cannot be judged, skips.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from simulated_spel import SpelError, evaluate, interpolate

COMPLETE = ("SUCCEEDED", "FAILED_CONTINUE", "SKIPPED")
HOP = 0.2


class World(Protocol):
    """What stages act on. Each answer is when it ends, from now, and whether well; None: it waits for :meth:`Orca.settle`."""

    fails: frozenset[str]

    def act(self, orca: "Orca", stage: Mapping[str, Any]) -> tuple[float, bool] | None: ...

    def ended(self, orca: "Orca", stage: Mapping[str, Any], well: bool) -> None: ...


@dataclass
class Orca:
    """One execution."""

    pipeline: Mapping[str, Any]
    trigger: Mapping[str, Any]
    world: World
    now: float = 0.0
    status: dict[str, str] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    result: str = "RUNNING"

    def __post_init__(self) -> None:
        self._stages = {stage["refId"]: stage for stage in self.pipeline["stages"]}
        self._by_name = {stage["name"]: stage for stage in reversed(self.pipeline["stages"])}
        self._queue: list[tuple[float, int, str, Any]] = []
        self._count = 0
        self.status = dict.fromkeys(self._stages, "NOT_STARTED")
        declared = {one["name"]: one["default"] for one in self.pipeline["parameterConfig"]}
        self.variables: dict[str, Any] = {
            "parameters": {**declared, **self.trigger.get("parameters", {})},
            "trigger": self.trigger,
        }

    def later(self, after: float, kind: str, what: Any) -> None:
        """Have something happen."""
        self._count += 1
        heapq.heappush(self._queue, (self.now + after, self._count, kind, what))

    def settle(self, ref: str, after: float, well: bool) -> None:
        """End a stage that waits."""
        self.later(after, "end", (ref, well))

    def running(self) -> list[Mapping[str, Any]]:
        return [self._stages[ref] for ref, status in self.status.items() if status == "RUNNING"]

    def run(self, cancel_at: float | None = None) -> str:
        """To the end. STUCK: stages are left that can never start."""
        if cancel_at is not None:
            self.later(cancel_at, "cancel", None)
        self._start_ready()
        while self._queue and self.result == "RUNNING":
            self.now, _, kind, what = heapq.heappop(self._queue)
            if kind == "start":
                self._start(what)
            elif kind == "end":
                self._end(*what)
            elif kind == "cancel":
                self._stop("CANCELED")
            else:
                what()
            if not self.running() and self._idle():
                break
        if self.result == "RUNNING":
            left = [ref for ref, status in self.status.items() if status == "NOT_STARTED"]
            stopped = [self._stages[ref] for ref, status in self.status.items() if status == "STOPPED"]
            failing = any(stage["completeOtherBranchesThenFail"] for stage in stopped)
            self.result = "STUCK" if left or self.running() else "TERMINAL" if failing else "SUCCEEDED"
        return self.result

    def _idle(self) -> bool:
        return not any(kind in ("start", "end") for _, _, kind, _ in self._queue)

    def _start_ready(self) -> None:
        for ref, stage in self._stages.items():
            ready = all(self.status.get(parent) in COMPLETE for parent in stage["requisiteStageRefIds"])
            if self.status[ref] == "NOT_STARTED" and ready and ref not in self.started:
                self.started[ref] = self.now
                self.later(HOP, "start", ref)

    def _start(self, ref: str) -> None:
        stage = self._stages[ref]
        self.started[ref] = self.now
        if not self._enabled(stage):
            self.status[ref] = "SKIPPED"
            self._start_ready()
            return
        self.status[ref] = "RUNNING"
        if stage["type"] == "checkPreconditions":
            well = all(self._holds(ref, one["context"]["expression"]) for one in stage["preconditions"])
            well = well and ref not in self.world.fails
            self.settle(ref, HOP, well)
            return
        try:
            if stage["type"] == "evaluateVariables":
                for variable in stage["variables"]:
                    self.variables[variable["key"]] = interpolate(variable["value"], self.variables)
            stage = interpolate(stage, self.variables)
        except SpelError as error:
            self.problems.append(f"{ref}: {error}")
            self.settle(ref, HOP, False)
            return
        self._stages[ref] = stage
        limit = stage["stageTimeoutMs"] / 1000
        answer = self.world.act(self, stage)
        if answer is not None and answer[0] <= limit:
            self.settle(ref, *answer)
        else:
            self.settle(ref, limit, False)

    def _enabled(self, stage: Mapping[str, Any]) -> bool:
        return "stageEnabled" not in stage or self._holds(stage["refId"], stage["stageEnabled"]["expression"])

    def _holds(self, ref: str, expression: str) -> bool:
        try:
            return evaluate(expression, self.variables, self._status_of) is True
        except SpelError as error:
            self.problems.append(f"{ref}: {error}")
            return False

    def _status_of(self, name: str) -> str:
        if name not in self._by_name:
            raise SpelError(f"no stage is called {name}")
        return self.status[self._by_name[name]["refId"]]

    def _end(self, ref: str, well: bool) -> None:
        if self.status[ref] != "RUNNING":
            return
        stage = self._stages[ref]
        self.world.ended(self, stage, well)
        if well:
            self.status[ref] = "SUCCEEDED"
        elif stage["continuePipeline"]:
            self.status[ref] = "FAILED_CONTINUE"
        elif stage["failPipeline"]:
            self.status[ref] = "TERMINAL"
            self._stop("TERMINAL")
            return
        else:
            self.status[ref] = "STOPPED"
        self._start_ready()

    def _stop(self, result: str) -> None:
        self.result = result
        for ref, status in self.status.items():
            if status == "RUNNING":
                self.status[ref] = "CANCELED"
