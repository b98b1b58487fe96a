"""One operation on one stack."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pulumi.automation import Stack
from pulumi.automation.errors import CommandError
from pulumi.automation.events import EngineEvent

from infra.engine.events import Finding, Message, Summary, Told, reading
from infra.engine.failures import explain
from lorafleet.contracts.problems import Interrupted


class Operation(StrEnum):
    """What can be done with a stack."""

    UP = "up"
    PREVIEW = "preview"
    DESTROY = "destroy"
    REFRESH = "refresh"
    DRIFT = "drift"


@dataclass
class Heard:
    """What the engine told of one run."""

    show: Callable[[Told], None]
    also: Callable[[EngineEvent], None]
    changing: int = 0
    errors: list[str] = field(default_factory=list)

    def __call__(self, event: EngineEvent) -> None:
        """Take one event of the engine."""
        self.also(event)
        for told in reading(event):
            match told:
                case Summary():
                    self.changing = told.changing
                case Message(severity="error"):
                    self.errors.append(f"{told.resource}: {told.text}" if told.resource else told.text)
                case Finding(mandatory=True):
                    self.errors.append(f"policy {told.rule}: {told.text} ({told.resource})")
                case _:
                    pass
            self.show(told)


def run(
    operation: Operation,
    stack: Stack,
    show: Callable[[Told], None],
    *,
    policy_pack: Path | None = None,
    also: Callable[[EngineEvent], None] = lambda event: None,
) -> int:
    """Run an operation to its end and return how many resources it changed, or would change.

    Raises:
        Interrupted: it was stopped.
        LorafleetError: the engine failed.
    """
    heard = Heard(show, also)
    common: dict[str, Any] = {"on_event": heard, "color": "never", "suppress_outputs": True, "suppress_progress": True}
    packs = [str(policy_pack)] if policy_pack is not None else None
    try:
        match operation:
            case Operation.UP:
                stack.up(policy_packs=packs, show_secrets=False, **common)
            case Operation.PREVIEW:
                stack.preview(policy_packs=packs, **common)
            case Operation.DESTROY:
                # Never with the program run beside it: where something is protected, that leaves a broken state (engine 3.200).
                stack.destroy(show_secrets=False, **common)
            case Operation.REFRESH:
                stack.refresh(show_secrets=False, **common)
            case Operation.DRIFT:
                stack.preview_refresh(**common)
    except Interrupted as stopped:
        raise Interrupted(f"{operation} of {stack.name} was stopped", hint=stopped.problems[0].hint) from None
    except CommandError as error:
        raise explain(stack.name, str(error), heard.errors) from None
    return heard.changing
