"""LF2: failures, time limits, and ways back."""

from collections.abc import Iterator

from pipelines.lint.findings import Hit, Rule, error, warning
from pipelines.lint.view import PipelineView, at, items, mapping

_EXECUTED = "seen on Orca 8.56 with Clouddriver 5.90"
_TAKES_BACK = ("deleteManifest", "undoRolloutManifest", "scaleManifest", "patchManifest")


@error(
    "LF201",
    "A stage without a time limit",
    way_out="set stageTimeoutMs, and overrideTimeout for older servers",
    source="WaitForManifestStableTask and MonitorWebhookTask of Orca: 30 minutes and an hour; 5xx answers are retried without end",
)
def unlimited(pipeline: PipelineView) -> Iterator[Hit]:
    """A crash loop or a dead service holds it for Orca's own limits, which are hours."""
    for stage in pipeline.stages:
        if stage.raw.get("stageTimeoutMs") is None:
            yield stage, "it has no limit, so it can hang for hours"


@error(
    "LF202",
    "A time limit that is no number",
    way_out="write milliseconds as a number, without quotes",
    source=f"{_EXECUTED}: stageTimeoutMs is a number, not a string",
)
def limit_type(pipeline: PipelineView) -> Iterator[Hit]:
    """Text, zero, true."""
    for stage in pipeline.stages:
        limit = stage.raw.get("stageTimeoutMs")
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit <= 0):
            yield stage, f"its stageTimeoutMs is {limit!r}, which limits nothing"


@error(
    "LF203",
    "Failure flags that contradict each other",
    way_out="use one of the editor's four combinations",
    source="OverrideFailure.tsx of Deck; failureStatus() of Orca: continuePipeline wins, and failPipeline beats the third flag",
)
def contradiction(pipeline: PipelineView) -> Iterator[Hit]:
    """More than one flag."""
    for stage in pipeline.stages:
        raised = [name for name in ("failPipeline", "continuePipeline", "completeOtherBranchesThenFail") if stage.raw.get(name)]
        if len(raised) > 1:
            yield stage, f"{' and '.join(raised)} are both set"


@error(
    "LF204",
    "A stage behind a halted branch",
    way_out="ignore the failure and switch what follows by stageEnabled",
    source=f"{_EXECUTED}: a join behind a STOPPED branch never starts, and the run still says SUCCEEDED",
)
def behind_halted_branch(pipeline: PipelineView) -> Iterator[Hit]:
    """STOPPED is never good enough to start."""
    for stage in pipeline.stages:
        for ref in stage.requires:
            if ref in pipeline.by_ref and pipeline.by_ref[ref].halts_branch:
                yield stage, f"if '{pipeline.by_ref[ref].name}' fails, it never starts, be it a rollback"


@error(
    "LF205",
    "A failure that ends green",
    way_out="add completeOtherBranchesThenFail, or ignore the failure and fail at one common end",
    source=f"{_EXECUTED}: fail=false, continue=false ends STOPPED, and the run SUCCEEDED",
)
def green_end(pipeline: PipelineView) -> Iterator[Hit]:
    """A halted branch without the third flag."""
    for stage in pipeline.stages:
        if stage.halts_branch and not stage.flags[2]:
            yield stage, "if it fails, its branch stops and the run says SUCCEEDED"


@error(
    "LF206",
    "A run that cannot fail",
    way_out="end with a checkPreconditions that fails unless the stages that matter succeeded",
    source="spinnaker issues 2085 and 5729: with every failure ignored the run ends SUCCEEDED",
)
def cannot_fail(pipeline: PipelineView) -> Iterator[Hit]:
    """Every failure is ignored."""
    if pipeline.stages and all(stage.ignores_failure for stage in pipeline.stages):
        yield None, "every stage ignores its failure, so a run always says SUCCEEDED"


@error(
    "LF207",
    "A Deployment without a way back",
    way_out="let a stage follow that deletes, scales or undoes it, switched by the status of what went before",
    source="OrcaMessageHandler and CompleteExecutionHandler of Orca: there is no rollbackOnFailure for Kubernetes",
)
def no_way_back(pipeline: PipelineView) -> Iterator[Hit]:
    """An ignored failure of deployManifest that nothing takes back."""
    for stage in pipeline.of_type("deployManifest"):
        back = any(stage.ref in pipeline.ancestors[other.ref] for other in pipeline.of_type(*_TAKES_BACK))
        if stage.ignores_failure and not back:
            yield stage, "its failure is ignored, and nothing that follows takes it back"


@error(
    "LF208",
    "A failure that cancels a deployment elsewhere",
    way_out="ignore the failure, join all branches, and fail once at the end",
    source="CompleteExecutionHandler of Orca: TERMINAL cancels every running stage of the other branches",
)
def cancels_others(pipeline: PipelineView) -> Iterator[Hit]:
    """A stage that ends the run while another branch may be deploying."""
    for stage in pipeline.stages:
        if not stage.halts_pipeline:
            continue
        for other in pipeline.of_type("deployManifest", "runJobManifest", "undoRolloutManifest"):
            apart = other.ref not in pipeline.ancestors[stage.ref] and stage.ref not in pipeline.ancestors[other.ref]
            if other is not stage and apart:
                yield stage, f"if it fails, '{other.name}' of another branch is cancelled in the middle"
                break


@error(
    "LF209",
    "A precondition that only stops its branch",
    way_out="set failPipeline inside the precondition; the stage's own flags say what the failure means",
    source="CheckPreconditionsStage of Orca: the inner stage has the precondition's flag and ends STOPPED without it",
)
def soft_precondition(pipeline: PipelineView) -> Iterator[Hit]:
    """``failPipeline`` missing inside."""
    for stage in pipeline.of_type("checkPreconditions"):
        if any(mapping(precondition).get("failPipeline") is not True for precondition in items(stage.raw.get("preconditions"))):
            yield stage, "a failing precondition without failPipeline leaves it STOPPED, and what follows never starts"


@error(
    "LF210",
    "A time-out that counts as success",
    way_out="take markSuccessfulOnTimeout out",
    source="RunTaskHandler of Orca: markSuccessfulOnTimeout",
)
def successful_timeout(pipeline: PipelineView) -> Iterator[Hit]:
    """No verdict by the deadline is no pass."""
    for stage in pipeline.stages:
        if stage.raw.get("markSuccessfulOnTimeout") is True:
            yield stage, "running out of time makes it SUCCEEDED"


@warning(
    "LF211",
    "A judgment in front of the only way back",
    way_out="hang the way back on the watch as well, not only behind the person's answer",
    source="ManualJudgmentStage of Orca polls every 15 s until somebody answers",
)
def judged_way_back(pipeline: PipelineView) -> Iterator[Hit]:
    """A rollback that waits for a person."""
    judgments = {stage.ref for stage in pipeline.of_type("manualJudgment")}
    for deploy in pipeline.of_type("deployManifest"):
        backs = [other for other in pipeline.of_type(*_TAKES_BACK) if deploy.ref in pipeline.ancestors[other.ref]]
        between = [judgments & (pipeline.ancestors[back.ref] - pipeline.ancestors[deploy.ref]) for back in backs]
        if backs and all(between):
            yield deploy, "every way back from it waits for a person's answer"


@error(
    "LF212",
    "A precondition of a kind that is not there",
    way_out="use expression, clusterSize or stageStatus",
    source="PreconditionTask implementations of Orca",
)
def unknown_precondition(pipeline: PipelineView) -> Iterator[Hit]:
    """Types that no task checks, and none at all."""
    for stage in pipeline.of_type("checkPreconditions"):
        kinds = [at(precondition, "type") for precondition in items(stage.raw.get("preconditions"))]
        if not kinds:
            yield stage, "it has no preconditions, and checks nothing"
        for kind in kinds:
            if kind not in ("expression", "clusterSize", "stageStatus"):
                yield stage, f"there is no precondition '{kind}'"


RULES: tuple[Rule, ...] = (
    unlimited,
    limit_type,
    contradiction,
    behind_halted_branch,
    green_end,
    cannot_fail,
    no_way_back,
    cancels_others,
    soft_precondition,
    successful_timeout,
    judged_way_back,
    unknown_precondition,
)
