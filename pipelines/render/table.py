"""The stages as rows, for terminals and documentation."""

from dataclasses import dataclass
from datetime import timedelta

from lorafleet.contracts.durations import format_duration
from pipelines.model.failure import FailureStrategy
from pipelines.model.pipeline import Pipeline
from pipelines.model.stages import Stage, Wait

_ON_FAILURE = {
    FailureStrategy.HALT_PIPELINE: "ends the run",
    FailureStrategy.HALT_BRANCH: "ends the branch",
    FailureStrategy.HALT_BRANCH_THEN_FAIL: "fails the run at its end",
    FailureStrategy.IGNORE: "goes on",
}


@dataclass(frozen=True)
class StageRow:
    """One stage; ``limit`` as people write it."""

    ref_id: str
    name: str
    type: str
    limit: str
    after: tuple[str, ...]
    on_failure: str
    enabled: str


def limit_of(stage: Stage) -> str:
    """A stage's time: a wait takes exactly its own, every other one at most its limit."""
    if isinstance(stage, Wait):
        return format_duration(stage.length)
    return f"≤ {format_duration(stage.limit - stage.limit % timedelta(seconds=1))}"


def stage_table(pipeline: Pipeline) -> tuple[StageRow, ...]:
    """A row for each stage, in the pipeline's order."""
    return tuple(
        StageRow(
            stage.ref_id,
            stage.name,
            stage.type,
            limit_of(stage),
            tuple(parent.ref_id for parent in stage.parents),
            _ON_FAILURE[stage.failure],
            stage.enabled or "",
        )
        for stage in pipeline.stages
    )
