"""LF3: SpEL, which fails without a word: a ``stageEnabled`` that cannot be judged skips its stage."""

import re
from collections.abc import Iterator

from pipelines.lint.findings import Hit, Rule, error, warning
from pipelines.lint.view import PipelineView, StageView, at, items, mapping, text, texts
from pipelines.manifests.release import IN_MANIFESTS

_SKIPS = (
    "OptionalStageSupport of Orca, and seen on 8.56: an expression that cannot be judged skips its stage, which counts as success"
)
_LONGEST = 10_000
# What Orca writes into each call of a function before Spring reads the expression: #stage( #root.execution, 'x').
_INSERTED = len(" #root.execution, ")

STATUSES = frozenset(
    [
        "NOT_STARTED",
        "RUNNING",
        "PAUSED",
        "SUSPENDED",
        "SUCCEEDED",
        "FAILED_CONTINUE",
        "TERMINAL",
        "CANCELED",
        "REDIRECT",
        "STOPPED",
        "SKIPPED",
        "BUFFERED",
    ]
)
FUNCTIONS = frozenset(
    [
        "stage",
        "stageByRefId",
        "stageExists",
        "currentStage",
        "judgment",
        "judgement",
        "alphanumerical",
        "readJson",
        "fromUrl",
        "jsonFromUrl",
        "yamlFromUrl",
        "propertiesFromUrl",
        "toBoolean",
        "toInt",
        "toFloat",
        "toBase64",
        "fromBase64",
        "toJson",
        "doRegexMatch",
        "deployedServerGroups",
        "manifestLabelValue",
        "pipelineId",
        "pipelineIdOrNull",
        "triggerResolvedArtifact",
        "triggerResolvedArtifactByType",
        "resolveArtifacts",
        "cfServiceKey",
        "root",
        "this",
    ]
)
_QUOTED = re.compile(r"'(?:[^']|'')*'")


def _each(pipeline: PipelineView) -> Iterator[tuple[StageView, str]]:
    for stage in pipeline.stages:
        for expression in stage.expressions:
            yield stage, expression


@error("LF301", "stageEnabled with ${}", way_out="leave ${ and } out; Orca puts them around it", source=_SKIPS)
def wrapped(pipeline: PipelineView) -> Iterator[Hit]:
    """Doubly wrapped is evaluated to nothing."""
    for stage in pipeline.stages:
        if "${" in text(at(stage.raw, "stageEnabled", "expression")):
            yield stage, "its stageEnabled is wrapped in ${}, which Orca does itself"


@error("LF302", "An expression names a stage that is not there", way_out="write the stage's name, not its refId", source=_SKIPS)
def unknown_stage(pipeline: PipelineView) -> Iterator[Hit]:
    """``#stage`` looks up names."""
    names = {stage.name for stage in pipeline.stages}
    for stage, expression in _each(pipeline):
        for name in re.findall(r"#stage\(\s*'([^']*)'\s*\)", expression):
            if name not in names:
                hint = "; that is a refId" if name in pipeline.by_ref else ""
                yield stage, f"there is no stage called '{name}'{hint}, so the expression fails"
        for ref in re.findall(r"#stageByRefId\(\s*'([^']*)'\s*\)", expression):
            if ref not in pipeline.by_ref:
                yield stage, f"there is no stage with the refId '{ref}', so the expression fails"


@error(
    "LF303",
    "Waiting for TERMINAL",
    way_out="ignore the failure above (continuePipeline) and ask for anything but SUCCEEDED",
    source="allUpstreamStagesComplete and StageExecutionImpl.hasFailed of Orca: TERMINAL has ended the run before this is judged",
)
def terminal(pipeline: PipelineView) -> Iterator[Hit]:
    """The most copied recipe, and dead code."""
    for stage, expression in _each(pipeline):
        if re.search(r"==\s*'(?:TERMINAL|CANCELED)'|hasFailed|hasSucceeded", expression):
            yield stage, "no stage ever sees TERMINAL or hasFailed of another one: this is never true"


@error(
    "LF304",
    "A status compared without toString()",
    way_out="write #stage('…')['status'].toString() == '…'",
    source="Orca's own specifications compare text; an ExecutionStatus never equals one",
)
def raw_status(pipeline: PipelineView) -> Iterator[Hit]:
    """An enum against text."""
    for stage, expression in _each(pipeline):
        if re.search(r"(?:\[\s*'status'\s*\]|\.status)\s*[=!]=", expression):
            yield stage, "a status is compared with text, and never equals it"


@error("LF305", "An expression that cannot be read", way_out="close every bracket and quotation", source=_SKIPS)
def unreadable(pipeline: PipelineView) -> Iterator[Hit]:
    """Brackets and quotes that do not close."""
    for stage, expression in _each(pipeline):
        bare = _QUOTED.sub("", expression)
        if "'" in bare or not _closes(bare):
            yield stage, "a bracket or a quotation in its expression does not close"


def _closes(bare: str) -> bool:
    opened = []
    pairs = {")": "(", "]": "[", "}": "{"}
    for character in bare:
        if character in "([{":
            opened.append(character)
        elif character in pairs and (not opened or opened.pop() != pairs[character]):
            return False
    return not opened


@error("LF306", "An expression calls a function that is not there", way_out="use one of Orca's functions", source=_SKIPS)
def unknown_function(pipeline: PipelineView) -> Iterator[Hit]:
    """Typos such as ``#stages``."""
    for stage, expression in _each(pipeline):
        for name in re.findall(r"#(\w+)", _QUOTED.sub("", expression)):
            if name not in FUNCTIONS:
                yield stage, f"Orca has no function #{name}"


@error("LF307", "A status that no stage has", way_out="see Orca's ExecutionStatus", source="ExecutionStatus of Orca")
def unknown_status(pipeline: PipelineView) -> Iterator[Hit]:
    """Typos such as ``SUCCEDED``: the comparison is false and nothing tells."""
    for stage, expression in _each(pipeline):
        for status in re.findall(r"(?:\['status'\]|\.status)(?:\.toString\(\))?\s*[=!]=\s*'([^']*)'", expression):
            if status not in STATUSES:
                yield stage, f"there is no status '{status}'"


@error(
    "LF308",
    "SpEL in a manifest",
    way_out="write the value; only the digest of a run may come from a parameter",
    source="ContextParameterProcessor of Orca, and seen on 8.56: inline manifests are evaluated even with skipExpressionEvaluation",
)
def in_manifest(pipeline: PipelineView) -> Iterator[Hit]:
    """Shell, Jinja and Prometheus write ``${`` too."""
    for stage in pipeline.stages:
        for written in texts(stage.manifests):
            left = written
            for known in IN_MANIFESTS:
                left = left.replace(known, "")
            if "${" in left:
                yield stage, f"Orca would evaluate {written[:60]!r} in a manifest"


@error(
    "LF309",
    "Expressions of the old evaluator",
    way_out='set spelEvaluator to "v4"',
    source="ContextParameterProcessor of Orca: before v4 all stages are evaluated at the beginning",
)
def old_evaluator(pipeline: PipelineView) -> Iterator[Hit]:
    """The results of earlier stages are not there yet."""
    if pipeline.raw.get("spelEvaluator") != "v4" and any("${" in found for found in texts(items(pipeline.raw.get("stages")))):
        yield None, "its stages are evaluated at the beginning, before any of them has run"


@error(
    "LF310",
    "A parameter that is not declared",
    way_out="declare it in parameterConfig",
    source="ContextParameterProcessor of Orca: an unknown property leaves the text as it stands",
)
def unknown_parameter(pipeline: PipelineView) -> Iterator[Hit]:
    """The text would stay as it is, ``${`` and all."""
    known = {text(parameter.get("name")) for parameter in pipeline.parameters}
    for stage in pipeline.stages:
        used = set()
        for written in texts(stage.raw):
            used |= {dotted or quoted for dotted, quoted in re.findall(r"\bparameters(?:\.(\w+)|\['(\w+)'\])", written)}
        for name in sorted(used - known):
            yield stage, f"no parameter is called '{name}'"


@error(
    "LF311",
    "An expression that is too long",
    way_out="split the stage, or release to fewer sites at once",
    source="Spring's SpelParserConfiguration: at most 10,000 characters, counted after Orca has put its own arguments in",
)
def too_long(pipeline: PipelineView) -> Iterator[Hit]:
    """Spring refuses it, and the stage is skipped."""
    for stage, expression in _each(pipeline):
        length = len(expression) + expression.count("#") * _INSERTED
        if length > _LONGEST:
            yield stage, f"its expression has {length} characters once Orca has completed it"


@warning(
    "LF312",
    "SpEL in a notification",
    way_out="write plain text, or put the notification on a stage",
    source="EchoNotifyingExecutionListener of Orca evaluates a pipeline's notifications once, before its first stage",
)
def in_notification(pipeline: PipelineView) -> Iterator[Hit]:
    """It cannot tell anything about the run."""
    for notification in items(pipeline.raw.get("notifications")):
        if any("${" in written for written in texts(mapping(notification))):
            yield None, "a notification has SpEL, which is evaluated before anything has happened"


RULES: tuple[Rule, ...] = (
    wrapped,
    unknown_stage,
    terminal,
    raw_status,
    unreadable,
    unknown_function,
    unknown_status,
    in_manifest,
    old_evaluator,
    unknown_parameter,
    too_long,
    in_notification,
)
