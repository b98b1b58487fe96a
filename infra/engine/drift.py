"""What was changed by hand: the differences between a stack's state and what is there, from a refresh that changes nothing."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pulumi.automation.events import EngineEvent, StepEventMetadata

from infra.engine.events import name_of
from infra.engine.pulumi_cli import PulumiCli
from infra.engine.running import Operation, run
from infra.engine.showing import Show
from infra.engine.walk import known_stacks
from infra.engine.workspace import select
from infra.sites.stacks import SiteStacks
from lorafleet.contracts.problems import LorafleetError

_SECRET = re.compile(r"secret|token|password|kubeconfig|stringData", re.IGNORECASE)
_LONGEST = 80


@dataclass(frozen=True)
class Change:
    """One property of one resource, or the whole of it where ``path`` is empty. ``before`` is what the stack had."""

    stack: str
    type: str
    name: str
    path: str
    kind: Literal["changed", "added", "removed", "gone"]
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        what = f"{self.stack}: {self.type} {self.name}"
        if self.kind == "gone":
            return f"{what} is gone"
        if self.kind == "changed":
            return f"{what}: {self.path} was {self.before} and is {self.after}"
        return f"{what}: {self.path} was {self.kind}: {self.after if self.kind == 'added' else self.before}"


def find_drift(root: Path, site: SiteStacks, show: Show) -> list[Change]:
    """Ask clouds and cluster for everything that the site's stacks made.

    Raises:
        LorafleetError: the engine failed, or no backend answers.
    """
    cli = PulumiCli(show.say)
    known = known_stacks(root, cli)
    if not any(map(known.get, site.in_order)):
        raise LorafleetError(f"site {site.name} is not up", hint=f"lorafleet site up {site.name}")
    found: list[Change] = []
    for stack in site.in_order:
        if not known.get(stack):
            continue
        steps: list[StepEventMetadata] = []

        def keep(event: EngineEvent, steps: list[StepEventMetadata] = steps) -> None:
            if event.res_outputs_event is not None:
                steps.append(event.res_outputs_event.metadata)

        run(Operation.DRIFT, select(root, stack, cli), lambda told: None, also=keep)
        found.extend(change for step in steps for change in changes(stack, step))
    return found


def changes(stack: str, step: StepEventMetadata) -> Iterator[Change]:
    """How a resource differs from its state. Values of what may be secret are not told."""
    name = name_of(step.urn)
    if step.type.startswith("pulumi:"):
        return
    if step.op.value in ("delete", "refresh") and step.new is None and step.old is not None:
        yield Change(stack, step.type, name, "", "gone")
        return
    before, after = (_flat(state.outputs if state is not None else {}) for state in (step.old, step.new))
    wanted = set(_flat(step.old.inputs if step.old is not None else {}))
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) == after.get(path) or _moves_by_itself(path):
            continue
        # What the program never set is the cloud's own to change, unless something was added to what it sets.
        if path not in wanted and path in before:
            continue
        kind: Literal["changed", "added", "removed"] = "changed"
        if path not in before:
            kind = "added"
        elif path not in after:
            kind = "removed"
        shown = [_shown(step.type, path, state.get(path)) for state in (before, after)]
        yield Change(stack, step.type, name, path, kind, *shown)


def _moves_by_itself(path: str) -> bool:
    """What Kubernetes and the engine write on their own."""
    return path.startswith(
        ("status", "__", "metadata.managedFields", "metadata.resourceVersion", "metadata.generation", "metadata.uid")
    )


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {
            key: each for name, part in value.items() for key, each in _flat(part, f"{path}.{name}" if path else str(name)).items()
        }
    if isinstance(value, list) and value:
        return {key: each for number, part in enumerate(value) for key, each in _flat(part, f"{path}[{number}]").items()}
    return {path: value} if path else {}


def _shown(kind: str, path: str, value: Any) -> str:
    if value is None:
        return "nothing"
    if kind.endswith(":Secret") or _SECRET.search(path):
        return "(not shown)"
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
