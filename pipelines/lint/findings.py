"""Rules, and what they find."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from pipelines.lint.view import PipelineView, StageView


class Severity(StrEnum):
    """An error never does what was meant; a warning may."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One trap in one place. ``stage`` is a refId, empty for the pipeline itself; ``source`` says how the trap is known."""

    code: str
    severity: Severity
    pipeline: str
    stage: str
    message: str
    way_out: str
    source: str

    def __str__(self) -> str:
        where = f"{self.pipeline}/{self.stage}" if self.stage else self.pipeline
        return f"{self.code} {self.severity} {where}: {self.message} ({self.way_out})"


Hit = tuple[StageView | None, str]
"""Where, and in words what. None is the pipeline itself."""
Check = Callable[[PipelineView], Iterable[Hit]]


@dataclass(frozen=True)
class Rule:
    """A trap that can be seen in a pipeline's JSON."""

    code: str
    severity: Severity
    title: str
    way_out: str
    source: str
    check: Check

    def findings(self, pipeline: PipelineView) -> list[Finding]:
        """What it finds, in the pipeline's order."""
        return [
            Finding(self.code, self.severity, pipeline.name, stage.ref if stage else "", message, self.way_out, self.source)
            for stage, message in self.check(pipeline)
        ]


def error(code: str, title: str, *, way_out: str, source: str) -> Callable[[Check], Rule]:
    """Makes a check a rule whose findings are errors."""
    return lambda check: Rule(code, Severity.ERROR, title, way_out, source, check)


def warning(code: str, title: str, *, way_out: str, source: str) -> Callable[[Check], Rule]:
    """Makes a check a rule whose findings are warnings."""
    return lambda check: Rule(code, Severity.WARNING, title, way_out, source, check)
