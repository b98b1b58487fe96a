"""What a backend knows of a project's stacks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pulumi.automation.errors import CommandError

from infra.engine.failures import explain
from infra.engine.pulumi_cli import PulumiCli
from infra.engine.workspace import open_workspace
from lorafleet.contracts.problems import LorafleetError


@dataclass(frozen=True)
class StackStates:
    """A word on each stack that the backend has; ``why_not`` says why there is none."""

    by_stack: Mapping[str, str]
    why_not: str = ""


def stack_states(root: Path) -> StackStates:
    """Ask the backend. That there is none is no error here."""
    try:
        found = open_workspace(root, PulumiCli()).list_stacks()
    except CommandError as error:
        return StackStates({}, str(explain("backend", str(error), ())))
    except LorafleetError as error:
        return StackStates({}, str(error))
    return StackStates({each.name: _word(each.update_in_progress, each.resource_count) for each in found})


def _word(in_progress: bool | None, resources: int | None) -> str:
    if in_progress:
        return "a run is under way"
    return f"{resources} resources" if resources else "empty"
