"""LF7: how runs are started, given values, and kept apart."""

import re
from collections.abc import Iterator

from pipelines.lint.findings import Hit, Rule, error, warning
from pipelines.lint.view import PipelineView, at, items, mapping, text

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SECRET_NAME = re.compile(r"token|secret|passw|credential|api_?key", re.IGNORECASE)


@error(
    "LF701",
    "A pipeline by its name",
    way_out="name the other pipeline's id",
    source="ITrigger.ts of Deck and Echo: a pipeline trigger compares ids; spinnaker#5945",
)
def by_name(pipeline: PipelineView) -> Iterator[Hit]:
    """Triggers and stages of type ``pipeline``."""
    for trigger in pipeline.triggers:
        if trigger.get("type") == "pipeline" and not _UUID.fullmatch(text(trigger.get("pipeline"))):
            yield None, f"its trigger names pipeline '{trigger.get('pipeline')}', which is no id, and never fires"
    for stage in pipeline.of_type("pipeline"):
        if not _UUID.fullmatch(text(stage.raw.get("pipeline"))):
            yield stage, f"'{stage.raw.get('pipeline')}' is no id of a pipeline"


@error(
    "LF702",
    "A webhook that anyone can fire",
    way_out="add a payload constraint with a secret, which is put in when the pipeline is pushed",
    source="Gate's /webhooks/webhook/{source} asks for no login; the constraints are its only check",
)
def open_webhook(pipeline: PipelineView) -> Iterator[Hit]:
    """Without a constraint that looks like a secret."""
    for trigger in pipeline.triggers:
        constraints = mapping(trigger.get("payloadConstraints"))
        if trigger.get("type") == "webhook" and not any(_SECRET_NAME.search(key) and value for key, value in constraints.items()):
            yield None, f"whoever knows the name '{trigger.get('source')}' can start it"


@error(
    "LF703",
    "A Docker trigger",
    way_out="let CI start the pipeline with the digest it has just pushed",
    source="Igor reports tags; the artifact's reference is image:tag even where trackDigests is on",
)
def docker(pipeline: PipelineView) -> Iterator[Hit]:
    """It only knows tags."""
    for trigger in pipeline.triggers:
        if trigger.get("type") == "docker":
            yield None, f"a Docker trigger for '{trigger.get('repository')}' knows tags only"


@warning(
    "LF704",
    "A timetable without an id",
    way_out="set an id made from the pipeline's",
    source="Front50 makes a new id with each save, which looks like somebody's change",
)
def cron_id(pipeline: PipelineView) -> Iterator[Hit]:
    """Cron triggers."""
    for trigger in pipeline.triggers:
        if trigger.get("type") == "cron" and not trigger.get("id"):
            yield None, "its cron trigger gets a new id with each save"


@error(
    "LF705",
    "A limit that is not looked at",
    way_out="set limitConcurrent to false beside maxConcurrentExecutions",
    source="shouldQueue in Orca: maxConcurrentExecutions counts only without limitConcurrent",
)
def unused_limit(pipeline: PipelineView) -> Iterator[Hit]:
    """Both together."""
    limit = pipeline.raw.get("maxConcurrentExecutions")
    if isinstance(limit, int) and limit > 0 and pipeline.raw.get("limitConcurrent") is True:
        yield None, f"maxConcurrentExecutions: {limit} does nothing beside limitConcurrent"


@warning(
    "LF706",
    "Two runs at once",
    way_out="set limitConcurrent to true",
    source="shouldQueue in Orca: without a limit each start is a run, and two releases delete each other's Deployments",
)
def unlimited_runs(pipeline: PipelineView) -> Iterator[Hit]:
    """Neither limit, and it changes clusters."""
    changes = any(stage.type.endswith("Manifest") for stage in pipeline.stages)
    if changes and pipeline.raw.get("limitConcurrent") is False and not pipeline.raw.get("maxConcurrentExecutions"):
        yield None, "any number of runs may change the same clusters at once"


@warning(
    "LF707",
    "A lock that does not lock",
    way_out="use locked: {ui: true, …}",
    source="IPipeline.ts of Deck: the field is called locked",
)
def wrong_lock(pipeline: PipelineView) -> Iterator[Hit]:
    """``lockedPipeline``."""
    if "lockedPipeline" in pipeline.raw:
        yield None, "there is no field lockedPipeline"


@error(
    "LF708",
    "A required parameter that nothing checks",
    way_out="begin with a checkPreconditions that looks at it",
    source="seen on Orca 8.56: a missing required parameter is not enforced",
)
def unchecked_parameter(pipeline: PipelineView) -> Iterator[Hit]:
    """Only the page for people enforces it."""
    checked = " ".join(expression for stage in pipeline.of_type("checkPreconditions") for expression in stage.expressions)
    for parameter in pipeline.parameters:
        name = text(parameter.get("name"))
        if parameter.get("required") is True and not re.search(rf"\b{re.escape(name)}\b", checked):
            yield None, f"'{name}' is required, and a run without it begins all the same"


@error(
    "LF709",
    "A secret with a default",
    way_out="leave the default empty; whoever starts a run gives the secret",
    source="parameterConfig is stored in Front50 and shown to everyone who may read the application",
)
def default_secret(pipeline: PipelineView) -> Iterator[Hit]:
    """Tokens and passwords in the pipeline."""
    for parameter in pipeline.parameters:
        if _SECRET_NAME.search(text(parameter.get("name"))) and parameter.get("default"):
            yield None, f"'{parameter.get('name')}' has its secret as the default"


@error(
    "LF710",
    "A window that counts hours to the wrong day",
    way_out="name all seven days, or end it before midnight",
    source="RestrictExecutionDuringTimeWindow of Orca has one list of days for all hours",
)
def night_window(pipeline: PipelineView) -> Iterator[Hit]:
    """It passes midnight and has not all days."""
    for stage in pipeline.stages:
        window = mapping(stage.raw.get("restrictedExecutionWindow"))
        days = items(window.get("days"))
        for hours in items(window.get("whitelist")):
            start, end = ((at(hours, f"{edge}Hour") or 0, at(hours, f"{edge}Min") or 0) for edge in ("start", "end"))
            if end < start and 0 < len(days) < 7:
                yield stage, "what comes after midnight is on a day that may not be in the list"


@warning(
    "LF711",
    "A pipeline from a template",
    way_out="push plain pipelines; a generator has no use for templates",
    source="spinnaker issues 3456, 4547, 4735, 5630, 6633",
)
def templated(pipeline: PipelineView) -> Iterator[Hit]:
    """``schema: v2``."""
    if pipeline.raw.get("schema") == "v2" or pipeline.raw.get("type") == "templatedPipeline":
        yield None, "templates (MPT v2) have many open faults"


RULES: tuple[Rule, ...] = (
    by_name,
    open_webhook,
    docker,
    cron_id,
    unused_limit,
    unlimited_runs,
    wrong_lock,
    unchecked_parameter,
    default_secret,
    night_window,
    templated,
)
