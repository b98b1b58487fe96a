"""LF8: Kayenta."""

import re
from collections.abc import Iterator, Mapping

from pipelines.lint.findings import Hit, Rule, error, warning
from pipelines.lint.view import PipelineView, at, text

_POINTS = 50
_LIFETIME = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


def _minutes(lifetime: str) -> int | None:
    found = _LIFETIME.fullmatch(lifetime)
    if found is None:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in found.groups())
    return (days * 24 + hours) * 60 + minutes


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


@error(
    "LF801",
    "An analysis shorter than a minute",
    way_out="write a lifetime of PT1M or more; its statistics want 50 points",
    source="seen on Orca 8.56 with Kayenta's stage: under one minute it divides by zero",
)
def short_life(pipeline: PipelineView) -> Iterator[Hit]:
    """``lifetimeDuration``."""
    for stage in pipeline.of_type("kayentaCanary"):
        if stage.raw.get("analysisType") == "retrospective":
            continue
        minutes = _minutes(text(at(stage.raw, "canaryConfig", "lifetimeDuration")))
        if not minutes:
            yield stage, "its lifetimeDuration is under a minute, or none"


@error(
    "LF802",
    "An interval that is no number of minutes",
    way_out="write whole minutes, 1 or more",
    source="MonitorKayentaCanaryTask.kt of Orca: the unit of canaryAnalysisIntervalMins is minutes",
)
def interval(pipeline: PipelineView) -> Iterator[Hit]:
    """``canaryAnalysisIntervalMins``."""
    for stage in pipeline.of_type("kayentaCanary"):
        written = at(stage.raw, "canaryConfig", "canaryAnalysisIntervalMins")
        number = _number(written)
        if written is not None and (number is None or number < 1 or number % 1):
            yield stage, f"canaryAnalysisIntervalMins is {written!r}, and Kayenta counts in whole minutes"


@error(
    "LF803",
    "An analysis that deploys virtual machines",
    way_out="use realTime",
    source="KayentaCanaryStage.kt of Orca: realTimeAutomatic deploys its own server groups",
)
def automatic(pipeline: PipelineView) -> Iterator[Hit]:
    """``realTimeAutomatic``."""
    for stage in pipeline.of_type("kayentaCanary"):
        if stage.raw.get("analysisType") == "realTimeAutomatic":
            yield stage, "realTimeAutomatic is not for Kubernetes"


@error(
    "LF804",
    "Thresholds the wrong way round",
    way_out="marginal lies below pass, both between 0 and 100",
    source="KayentaCanaryContext.kt of Orca: at or below marginal it fails at once, at the end it needs pass",
)
def thresholds(pipeline: PipelineView) -> Iterator[Hit]:
    """``scoreThresholds``."""
    for stage in pipeline.of_type("kayentaCanary"):
        marginal, passing = (_number(at(stage.raw, "canaryConfig", "scoreThresholds", key)) for key in ("marginal", "pass"))
        if marginal is None or passing is None or not 0 <= marginal < passing <= 100:
            yield stage, f"its thresholds are {marginal} and {passing}"


@warning(
    "LF805",
    "An analysis of few points",
    way_out="let it live longer, 50 minutes or more at a point a minute",
    source="Kayenta's documentation: 50 points of each metric or more for its Mann-Whitney test",
)
def few_points(pipeline: PipelineView) -> Iterator[Hit]:
    """``lifetimeDuration`` and each scope's ``step``, 60 s unless it says otherwise."""
    for stage in pipeline.of_type("kayentaCanary"):
        minutes = _minutes(text(at(stage.raw, "canaryConfig", "lifetimeDuration")))
        scopes = at(stage.raw, "canaryConfig", "scopes")
        steps = [_number(at(scope, "step")) for scope in scopes if isinstance(scope, Mapping)] if isinstance(scopes, list) else []
        step = max([one for one in steps if one is not None and one >= 1], default=60)
        if minutes and minutes * 60 / step < _POINTS:
            yield stage, f"it has {minutes * 60 / step:.0f} points of each metric"


RULES: tuple[Rule, ...] = (short_life, interval, automatic, thresholds, few_points)
