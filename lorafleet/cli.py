"""The ``lorafleet`` command: it assembles the parts' commands, and turns errors into lines and exit codes."""

import sys
from collections.abc import Sequence
from typing import Annotated, ClassVar

import typer

from lorafleet import __version__
from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import Interrupted, LorafleetError, Preempted
from lorafleet.lazy_commands import LazyCommand, LazyGroup


class Commands(LazyGroup):
    """The parts' commands."""

    table: ClassVar = {
        "train": LazyCommand("trainer.commands:train", "Train a LoRA from a configuration file.", "trainer"),
        "worker": LazyCommand("trainer.worker.command:worker", "Lease jobs from the console and train them.", "trainer"),
        "data": LazyCommand("lorafleet.datasets.commands:app", "Check and prepare data sets.", "datasets"),
        "release": LazyCommand("pipelines.commands:app", "Compile, push, start and watch Spinnaker's pipelines.", ""),
        "site": LazyCommand("infra.commands:app", "Make, look after and take down the sites of the fleet.", "infra"),
        "image": LazyCommand("lorafleet.image.commands:app", "Build, copy, sign, verify and release the image.", "image"),
        "doctor": LazyCommand(
            "lorafleet.doctor:doctor", "Check that this machine can train, or how a console is set up.", "trainer"
        ),
        "serve": LazyCommand("lorafleet.console.serve_command:serve", "Serve the console on this machine.", "console"),
        "standby": LazyCommand(
            "lorafleet.console.standby.commands:app", "Look at the console's standby, or make it the home.", "console"
        ),
        "store": LazyCommand("lorafleet.console.store_command:store", "Serve a folder as a site's object store.", "console"),
        "mirror": LazyCommand("lorafleet.console.mirror_command:mirror", "Copy finished weights to a backup store.", "console"),
        "job": LazyCommand("lorafleet.client.commands:job_app", "Submit training jobs and follow them.", ""),
        "dataset": LazyCommand("lorafleet.client.commands:dataset_app", "Upload and list data sets.", ""),
        "secret": LazyCommand("lorafleet.client.commands:secret_app", "Keep a team's secrets for its training jobs.", ""),
        "demo": LazyCommand("lorafleet.demo.command:demo", "Train a small LoRA on real photographs, start to end.", "demo"),
    }


app = typer.Typer(cls=Commands, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lorafleet {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Train LoRAs, and lose nothing when a cloud, a release or a pod dies."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (by default this process's own) and return its exit code.

    Every :class:`~lorafleet.contracts.problems.LorafleetError` and wrong usage becomes one line a problem on stderr.
    """
    try:
        result = typer.main.get_command(app).main(arguments, prog_name="lorafleet", standalone_mode=False)
    except LorafleetError as error:
        word = "stopped" if isinstance(error, Preempted | Interrupted) else "error"
        for problem in error.problems:
            _say(f"{word}: {problem}")
        return error.exit_code
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        see = f" (see '{context.command_path} --help')" if context is not None else ""
        _say(f"error: {error.format_message().rstrip('.')}{see}")
        return ExitCode.USAGE
    except (KeyboardInterrupt, typer.Abort):
        _say("stopped: interrupted")
        return ExitCode.INTERRUPTED
    if result == ExitCode.INTERRUPTED:
        # typer makes this of a KeyboardInterrupt.
        _say("stopped: interrupted")
    return result if isinstance(result, int) else ExitCode.FINISHED


def _say(line: str) -> None:
    # One line each, whatever a file's name or a library's message holds.
    print("".join(character if character.isprintable() else " " for character in line), file=sys.stderr)
