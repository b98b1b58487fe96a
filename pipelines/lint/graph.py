"""LF1: the graph of stages."""

from collections.abc import Iterator

from pipelines.lint.findings import Hit, Rule, error
from pipelines.lint.view import PipelineView

_EXECUTED = "seen on Orca 8.56 with Clouddriver 5.90"

STAGE_TYPES = frozenset(
    {
        "bakeManifest",
        "checkPreconditions",
        "deleteManifest",
        "deployManifest",
        "disableManifest",
        "enableManifest",
        "evaluateVariables",
        "findArtifactFromExecution",
        "findArtifactsFromResource",
        "kayentaCanary",
        "manualJudgment",
        "noop",
        "patchManifest",
        "pipeline",
        "rollingRestartManifest",
        "runJobManifest",
        "scaleManifest",
        "undoRolloutManifest",
        "wait",
        "webhook",
    }
)


@error(
    "LF101",
    "A stage waits for one that is not there",
    way_out="name a refId of this pipeline in requisiteStageRefIds",
    source=f"{_EXECUTED}: accepted, and runs forever",
)
def dangling(pipeline: PipelineView) -> Iterator[Hit]:
    """refIds that nothing has."""
    for stage in pipeline.stages:
        for ref in stage.requires:
            if ref not in pipeline.by_ref:
                yield stage, f"it waits for stage '{ref}', which is not there, forever"


@error(
    "LF102",
    "Stages wait for each other",
    way_out="take one of the edges out",
    source=f"{_EXECUTED}: a cycle behind an entry stage is accepted and runs forever, one without an entry ends TERMINAL",
)
def cycle(pipeline: PipelineView) -> Iterator[Hit]:
    """Stages that come before themselves."""
    for stage in pipeline.stages:
        if stage.ref in pipeline.ancestors[stage.ref]:
            yield stage, "it waits for itself, on some way"


@error("LF103", "There are no stages", way_out="add a stage, or delete the pipeline", source=f"{_EXECUTED}: ends TERMINAL")
def empty(pipeline: PipelineView) -> Iterator[Hit]:
    """Nothing to do."""
    if not pipeline.stages:
        yield None, "it has no stages, so every run fails"


@error("LF104", "A refId is not text", way_out='write refIds in quotes, such as "deploy"', source=f"{_EXECUTED}: answers 500")
def numeric_ref(pipeline: PipelineView) -> Iterator[Hit]:
    """Numbers, and none at all."""
    for stage in pipeline.stages:
        if not isinstance(stage.raw.get("refId"), str) or not stage.ref:
            yield stage, f"its refId is {stage.raw.get('refId')!r}, and Orca takes text only"


@error("LF105", "Two stages have the same refId", way_out="give each stage a refId of its own", source=f"{_EXECUTED}: both run")
def repeated_ref(pipeline: PipelineView) -> Iterator[Hit]:
    """What a later stage waits for is then a matter of luck."""
    for stage in pipeline.stages:
        if pipeline.by_ref[stage.ref] is not stage:
            yield stage, f"another stage has the refId '{stage.ref}' too"


@error(
    "LF106",
    "Two stages have the same name",
    way_out="give each stage a name of its own",
    source="StageExpressionFunctionProvider of Orca: #stage gives the first stage of a name",
)
def repeated_name(pipeline: PipelineView) -> Iterator[Hit]:
    """Expressions find stages by name."""
    seen = set()
    for stage in pipeline.stages:
        if stage.name in seen:
            yield stage, f"another stage is called '{stage.name}' too, and #stage('{stage.name}') is the first of them"
        seen.add(stage.name)


@error(
    "LF107",
    "A name that no expression can say",
    way_out="use letters, digits, spaces, '-', '.', '_', '%' and '/'",
    source="SpEL: an apostrophe ends the text in #stage('…'), and ${ begins an expression",
)
def unspeakable(pipeline: PipelineView) -> Iterator[Hit]:
    """Empty names, apostrophes and SpEL."""
    for stage in pipeline.stages:
        if not stage.name or "'" in stage.name or "${" in stage.name:
            yield stage, f"an expression cannot name '{stage.name}'"


@error(
    "LF108",
    "A type of stage that Orca does not have",
    way_out="use one of Spinnaker's types for Kubernetes",
    source=f"{_EXECUTED}: ends TERMINAL once it is reached",
)
def unknown_type(pipeline: PipelineView) -> Iterator[Hit]:
    """Typos, and words of other tools such as ``monitor`` and ``rollback``."""
    for stage in pipeline.stages:
        if stage.type not in STAGE_TYPES and stage.type != "deploy":
            yield stage, f"Orca has no stage '{stage.type}' for Kubernetes, and fails when it comes to it"


@error(
    "LF109",
    "A server-group stage for Kubernetes",
    way_out="use deployManifest; a canary or a rollback is made of several stages",
    source="DeployManifestContext.java and CreateServerGroupStage.groovy of Orca: clusters, targetSize and rollback.onFailure are EC2's",
)
def server_group(pipeline: PipelineView) -> Iterator[Hit]:
    """``deploy`` with ``clusters``."""
    for stage in pipeline.of_type("deploy"):
        yield (
            stage,
            "'deploy' with clusters is the stage of virtual machines; Kubernetes has no targetSize, canary or onFailure there",
        )


RULES: tuple[Rule, ...] = (
    dangling,
    cycle,
    empty,
    numeric_ref,
    repeated_ref,
    repeated_name,
    unspeakable,
    unknown_type,
    server_group,
)
