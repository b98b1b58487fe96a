"""A project's stacks, as the automation API opens them."""

import json
from pathlib import Path
from typing import Any

from pulumi.automation import LocalWorkspace, Stack
from pulumi.automation.errors import CommandError

from infra.engine.failures import explain
from infra.engine.pulumi_cli import PulumiCli


def open_workspace(root: Path, cli: PulumiCli) -> LocalWorkspace:
    """The project's workspace."""
    return LocalWorkspace(work_dir=str(root), pulumi_command=cli)


def select(root: Path, stack: str, cli: PulumiCli, *, make: bool = False) -> Stack:
    """A stack that the backend has; with ``make`` one that it has not yet is made, empty.

    Raises:
        LorafleetError: there is no such stack, or no backend that answers.
    """
    workspace = open_workspace(root, cli)
    try:
        return Stack.create_or_select(stack, workspace) if make else Stack.select(stack, workspace)
    except CommandError as error:
        raise explain(stack, str(error), ()) from None


def read_json(root: Path, cli: PulumiCli, stack: str, what: str, *words: str) -> dict[str, Any]:
    """What ``pulumi stack WHAT`` tells of a stack as JSON; secrets in it stay encrypted or masked.

    Raises:
        LorafleetError: there is no such stack, or no backend that answers.
    """
    try:
        told: dict[str, Any] = json.loads(cli.run(["stack", what, *words, "--stack", stack], str(root), {}).stdout)
    except CommandError as error:
        raise explain(stack, str(error), ()) from None
    return told
