"""``lorafleet train``. Nothing heavy is imported before the configuration is known to be good."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from lorafleet.contracts.problems import UsageError
from lorafleet.contracts.training import TrainingConfig, explain_key, load, parse_overrides
from trainer.signals import StopRequests


def train(
    config: Annotated[Path | None, typer.Argument(help="A configuration such as configs/default.yaml.", show_default=False)] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Keys to set over the file's: key=value …", show_default=False)
    ] = None,
    explain: Annotated[str | None, typer.Option(help="Explain a key ('all' for every key) and end.", metavar="KEY")] = None,
    check: Annotated[bool, typer.Option(help="Check configuration, data and output folder, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Events as JSON lines on stdout.")] = False,
) -> None:
    """Train a LoRA as a configuration says; the same command goes on where a stopped run ended."""
    if explain:
        keys = list(TrainingConfig.model_fields) if explain == "all" else [explain]
        typer.echo("\n".join(explain_key(key) for key in keys))
        return
    if config is None:
        raise UsageError("name a configuration", hint="for example: lorafleet train configs/default.yaml")
    settings = load(config, parse_overrides(overrides or []))
    # Signals are taken before torch is imported: that alone takes seconds in which SIGTERM may arrive.
    with StopRequests() as stop:
        run(settings, stop, check=check, as_json=as_json)


def run(settings: TrainingConfig, stop: StopRequests, *, check: bool = False, as_json: bool = False) -> None:
    """Train and say what was written."""
    from trainer.reporting import ConsoleReporter, JsonReporter
    from trainer.run import LoRATrainer

    stop.check()
    reporter = JsonReporter(sys.stdout) if as_json else ConsoleReporter()
    trainer = LoRATrainer(settings, reporter=reporter, stop=stop)
    trainer.prepare_data()
    if check:
        reporter.say("configuration, data and output folder are fine")
        return
    trainer.build_model()
    result = trainer.train()
    if as_json:
        typer.echo(
            json.dumps(
                {"event": "finished", "files": [str(path) for path in result.files], "steps": result.steps, "loss": result.loss}
            )
        )
        return
    for path in result.files:
        reporter.say(f"wrote {path} ({path.stat().st_size / 2**20:.1f} MiB)")
    reporter.say(
        f"{result.steps} steps in {result.seconds:.0f} s, {result.steps_per_second:.3g} steps/s, "
        f"{result.rows_per_second:.3g} {result.unit}/s, {result.beside_share:.1%} of it beside training; loss {result.loss:.4f}"
    )
