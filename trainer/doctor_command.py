"""``lorafleet doctor``'s command line."""

from typing import Annotated

import typer

from lorafleet.contracts.problems import UnavailableError


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    require_gpu: Annotated[bool, typer.Option("--require-gpu", help="Let a missing GPU fail too.")] = False,
    train: Annotated[
        bool, typer.Option("--train", help="Train a tiny LoRA too, from pictures to a file that diffusers loads.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Check that this machine can train. Ends with code 69 when something fails."""
    from rich.console import Console

    try:
        from trainer.doctor import print_report, run_doctor
    except OSError as error:
        # torch loads CUDA's libraries itself, so that a missing one is no ImportError.
        raise UnavailableError(
            f"torch cannot be loaded: {error}", hint="install torch again; its CUDA libraries come with it from PyPI"
        ) from None

    report = run_doctor(device, require_gpu, train=train)
    if as_json:
        typer.echo(report.as_json())
    else:
        print_report(report, Console())
    raise typer.Exit(report.exit_code)
