"""``lorafleet doctor``: whether this machine can train, or whether a console is set up well."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorafleet.contracts.checkup import CheckResult
from lorafleet.contracts.outcomes import ExitCode

if TYPE_CHECKING:
    from lorafleet.contracts.checkup import Checkup

_STYLES = {CheckResult.OK: "green", CheckResult.WARN: "yellow", CheckResult.FAIL: "bold red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    require_gpu: Annotated[bool, typer.Option("--require-gpu", help="Let a missing GPU fail too.")] = False,
    train: Annotated[
        bool, typer.Option("--train", help="Train a tiny LoRA too, from pictures to a file that diffusers loads.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    console: Annotated[str | None, typer.Option(metavar="URL", help="Examine this console instead of this machine.")] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Administrator's token; default: LORAFLEET_TOKEN_FILE, or LORAFLEET_TOKEN itself."),
    ] = None,
) -> None:
    """Check that this machine can train, or with --console how a console is set up. Ends with code 69 when something fails."""
    if console is None:
        from trainer.doctor_command import examine

        raise typer.Exit(examine(device, require_gpu=require_gpu, train=train, as_json=as_json))
    from lorafleet.client.address import find_address
    from lorafleet.client.client import Client

    with Client(find_address(console, token_file)) as client:
        found = client.checkup()
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        _print(found)
    raise typer.Exit(ExitCode.FINISHED if found.good else ExitCode.UNAVAILABLE)


def _print(found: "Checkup") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    out = Console()
    table = Table(box=None, pad_edge=False)
    table.add_column("Check", no_wrap=True)
    table.add_column("Result", no_wrap=True)
    table.add_column("Found", overflow="fold")
    for check in found.checks:
        style = _STYLES[check.result]
        table.add_row(check.name, f"[{style}]{check.result}[/{style}]", escape(check.found))
    out.print(table)
    for check in found.checks:
        if check.hint:
            out.print(f"{check.name}: {check.hint}", markup=False, highlight=False, soft_wrap=True)
    failed = sum(check.result is CheckResult.FAIL for check in found.checks)
    verdict = "is set up well" if not failed else f"has {failed} {'fault' if failed == 1 else 'faults'}"
    out.print(f"this console ({found.kind}) {verdict}", highlight=False)
