"""``lorafleet doctor``: whether this machine can train, or whether a console is set up well."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorafleet.contracts.checkup import CheckResult, SetupCheck, failures
from lorafleet.contracts.outcomes import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {CheckResult.OK: "green", CheckResult.WARN: "yellow", CheckResult.FAIL: "bold red", CheckResult.SKIP: "dim"}


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
    if console is not None:
        raise typer.Exit(_of_a_console(console, token_file, as_json))
    raise typer.Exit(_of_this_machine(device, require_gpu, train, as_json))


def _of_this_machine(device: str, require_gpu: bool, train: bool, as_json: bool) -> ExitCode:
    from trainer.doctor_command import examine

    report = examine(device, require_gpu=require_gpu, train=train)
    failed = failures(report.checks)
    verdict = f"this machine cannot train: {failed} failed" if failed else "this machine can train"
    _print(report.as_json(), report.checks, verdict, as_json)
    return report.exit_code


def _of_a_console(url: str, token_file: Path | None, as_json: bool) -> ExitCode:
    from lorafleet.client.address import find_address
    from lorafleet.client.client import Client

    with Client(find_address(url, token_file)) as client:
        found = client.checkup()
    failed = failures(found.checks)
    state = f"has {failed} {'fault' if failed == 1 else 'faults'}" if failed else "is set up well"
    _print(found.model_dump_json(indent=2), found.checks, f"this console ({found.kind}) {state}", as_json)
    return ExitCode.FINISHED if found.good else ExitCode.UNAVAILABLE


def _print(json_text: str, checks: Sequence[SetupCheck], verdict: str, as_json: bool) -> None:
    from rich.console import Console

    if as_json:
        typer.echo(json_text)
    else:
        show(checks, verdict, Console())


def show(checks: Sequence[SetupCheck], verdict: str, out: "Console") -> None:
    """Print a table of the checks, then what to do about those that are not ok, and the verdict."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("Check", no_wrap=True)
    table.add_column("Result", no_wrap=True)
    table.add_column("Found", overflow="fold")
    for check in checks:
        style = _STYLES[check.result]
        table.add_row(check.name, f"[{style}]{check.result}[/{style}]", escape(check.found))
    out.print(table)
    for check in checks:
        if check.hint and check.result in (CheckResult.WARN, CheckResult.FAIL):
            out.print(f"{check.name}: {check.hint}", markup=False, highlight=False, soft_wrap=True)
    out.print(verdict, markup=False, highlight=False)
