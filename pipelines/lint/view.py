"""A pipeline's JSON as rules look at it. It may be from anywhere, so nothing is taken for granted about its shape."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: Any) -> str:
    """The value if it is text, else none."""
    return value if isinstance(value, str) else ""


def at(value: Any, *keys: str) -> Any:
    """What stands at a path of keys; None where there is none."""
    for key in keys:
        value = mapping(value).get(key)
    return value


def texts(value: Any) -> Iterator[str]:
    """All text in nested values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for child in value.values():
            yield from texts(child)
    elif isinstance(value, list):
        for child in value:
            yield from texts(child)


@dataclass(frozen=True, eq=False)
class StageView:
    """A stage."""

    raw: Mapping[str, Any]

    @property
    def ref(self) -> str:
        """Its refId."""
        return str(self.raw.get("refId", ""))

    @property
    def name(self) -> str:
        """What ``#stage`` finds it by."""
        return text(self.raw.get("name"))

    @property
    def type(self) -> str:
        """Its type."""
        return text(self.raw.get("type"))

    @property
    def requires(self) -> list[str]:
        """The refIds that it waits for."""
        return [str(ref) for ref in items(self.raw.get("requisiteStageRefIds"))]

    @property
    def flags(self) -> tuple[bool, bool, bool]:
        """failPipeline, continuePipeline, completeOtherBranchesThenFail, with Orca's defaults."""
        fail = self.raw.get("failPipeline")
        return (
            fail is None or fail is True,
            self.raw.get("continuePipeline") is True,
            self.raw.get("completeOtherBranchesThenFail") is True,
        )

    @property
    def ignores_failure(self) -> bool:
        """Whether a failure lets what follows start."""
        return self.flags[1]

    @property
    def halts_pipeline(self) -> bool:
        """Whether a failure ends the run at once."""
        return self.flags[0] and not self.flags[1]

    @property
    def halts_branch(self) -> bool:
        """Whether a failure leaves it STOPPED."""
        return not self.flags[0] and not self.flags[1]

    @property
    def expressions(self) -> list[str]:
        """SpEL that decides whether it runs or passes."""
        found = [text(at(self.raw, "stageEnabled", "expression"))]
        for precondition in items(self.raw.get("preconditions")):
            found.append(text(at(precondition, "context", "expression")))
        return [expression for expression in found if expression]

    @property
    def manifests(self) -> list[Mapping[str, Any]]:
        """The Kubernetes objects that it applies."""
        found = self.raw.get("manifests") if self.type == "deployManifest" else None
        if self.type == "runJobManifest":
            found = [self.raw.get("manifest")]
        return [mapping(manifest) for manifest in items(found)]


@dataclass(frozen=True, eq=False)
class PipelineView:
    """A pipeline."""

    raw: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name."""
        return text(self.raw.get("name")) or "pipeline"

    @cached_property
    def stages(self) -> list[StageView]:
        """Its stages."""
        return [StageView(stage) for stage in items(self.raw.get("stages")) if isinstance(stage, Mapping)]

    @cached_property
    def by_ref(self) -> dict[str, StageView]:
        """Its stages by refId."""
        return {stage.ref: stage for stage in self.stages}

    @property
    def triggers(self) -> list[Mapping[str, Any]]:
        """What starts it."""
        return [mapping(trigger) for trigger in items(self.raw.get("triggers"))]

    @property
    def parameters(self) -> list[Mapping[str, Any]]:
        """What a run is given."""
        return [mapping(parameter) for parameter in items(self.raw.get("parameterConfig"))]

    @cached_property
    def ancestors(self) -> dict[str, set[str]]:
        """By refId, what comes before on some way; with a cycle, a stage may be its own ancestor."""
        found: dict[str, set[str]] = {stage.ref: set() for stage in self.stages}
        for stage in self.stages:
            waiting = list(stage.requires)
            while waiting:
                ref = waiting.pop()
                if ref not in found[stage.ref]:
                    found[stage.ref].add(ref)
                    waiting += self.by_ref[ref].requires if ref in self.by_ref else []
        return found

    def of_type(self, *types: str) -> Iterator[StageView]:
        """The stages of these types."""
        return (stage for stage in self.stages if stage.type in types)

    def followers(self, ref: str) -> Iterator[StageView]:
        """The stages that wait for this one directly."""
        return (stage for stage in self.stages if ref in stage.requires)
