"""What the engine tells while it works, reduced to what a person or a machine needs; values of properties are not among it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pulumi.automation.events import EngineEvent, StepEventMetadata

from infra.engine.failures import plain

Phase = Literal["planned", "begun", "done", "failed"]
QUIET = ("same", "read", "refresh", "read-replacement", "discard", "read-discard")
"""Operations that change nothing."""


@dataclass(frozen=True)
class Step:
    """One resource's operation (create, update, delete, replace …). ``changed`` names the properties that differ."""

    phase: Phase
    op: str
    type: str
    name: str
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Message:
    """A word of the engine, a provider or the program."""

    severity: str
    text: str
    resource: str = ""


@dataclass(frozen=True)
class Finding:
    """A rule of the policy pack that a resource breaks; ``mandatory`` ones stop the run."""

    rule: str
    mandatory: bool
    text: str
    resource: str


@dataclass(frozen=True)
class Summary:
    """How many resources each operation met."""

    changes: Mapping[str, int]
    seconds: int

    @property
    def changing(self) -> int:
        """How many resources change."""
        return sum(count for op, count in self.changes.items() if op not in QUIET)


Told = Step | Message | Finding | Summary


def reading(event: EngineEvent) -> Iterator[Told]:
    """What one event of the engine tells; most tell nothing."""
    if event.resource_pre_event is not None:
        planned = bool(event.resource_pre_event.planning)
        yield from _step("planned" if planned else "begun", event.resource_pre_event.metadata)
    elif event.res_outputs_event is not None:
        if not event.res_outputs_event.planning:
            yield from _step("done", event.res_outputs_event.metadata)
    elif event.res_op_failed_event is not None:
        yield from _step("failed", event.res_op_failed_event.metadata)
    elif event.diagnostic_event is not None and not event.diagnostic_event.ephemeral:
        found = event.diagnostic_event
        text = plain(found.message)
        if text and found.severity in ("warning", "error"):
            yield Message(found.severity, text, name_of(found.urn or ""))
    elif event.policy_event is not None:
        broken = event.policy_event
        mandatory = broken.enforcement_level == "mandatory"
        yield Finding(broken.policy_name, mandatory, plain(broken.message), name_of(broken.resource_urn or ""))
    elif event.summary_event is not None:
        changes = {getattr(op, "value", op): count for op, count in event.summary_event.resource_changes.items()}
        yield Summary(changes, event.summary_event.duration_seconds)


def _step(phase: Phase, metadata: StepEventMetadata) -> Iterator[Step]:
    op = metadata.op.value
    if op in QUIET or metadata.type == "pulumi:pulumi:Stack":
        return
    changed = tuple(metadata.detailed_diff or ()) or tuple(metadata.diffs or ())
    yield Step(phase, op, metadata.type, name_of(metadata.urn), changed)


def name_of(urn: str) -> str:
    """The resource's name in its program."""
    return urn.rpartition("::")[2]
