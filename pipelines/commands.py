"""``lorafleet release``: pipelines from a spec, into Spinnaker, and a release through them."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import LorafleetError, UsageError

if TYPE_CHECKING:
    from pipelines.gate.client import Gate

CHANGES = 2
"""What ``plan`` and ``drift`` exit with where there is something to tell, as ``terraform plan -detailed-exitcode`` does."""

app = typer.Typer(
    name="release", help="Compile, push, start and watch Spinnaker's pipelines.", rich_markup_mode=None, add_completion=False
)


class DetailedExit(TyperCommand):
    """A command whose exit code 2 means changes and nothing else: wrong usage is 1."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """See ``TyperCommand``."""
        try:
            return super().make_context(*arguments, **options)
        except typer.TyperException as error:
            raise LorafleetError(error.format_message().rstrip("."), hint=f"see 'lorafleet release {self.name} --help'") from None

    def invoke(self, ctx: Any) -> Any:
        """See ``TyperCommand``."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            raise LorafleetError(error.problems) from None


Spec = Annotated[Path | None, typer.Argument(metavar="SPEC", help="fleet.yaml, or the compact JSON. Default: fleet.yaml.")]
Sites = Annotated[
    Path | None, typer.Option("--sites", metavar="DIR", help="Where the sites' files are. Default: sites/ beside SPEC.")
]
Digest = Annotated[str | None, typer.Option("--digest", metavar="sha256:…", help="The image's digest, in place of a tag.")]
GateUrl = Annotated[str | None, typer.Option("--gate", envvar="LORAFLEET_GATE_URL", metavar="URL", help="In place of gate.url.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ConsoleUrl = Annotated[
    str | None, typer.Option("--console", envvar="LORAFLEET_CONSOLE", metavar="URL", help="In place of console.url.")
]
Prune = Annotated[bool, typer.Option("--prune", help="Delete pipelines with our tag that the spec has no more.")]

_SPEC = Path("fleet.yaml")


@app.command()
def render(
    spec: Spec = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write files here; without it JSON goes to stdout.")
    ] = None,
    sites: Sites = None,
    digest: Digest = None,
    console: ConsoleUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write each pipeline as JSON and as a picture."""
    from pipelines.delivering import Source, read_delivery
    from pipelines.render_files import delivery_json, write_delivery

    _, delivery = read_delivery(Source(spec or _SPEC, sites, digest, console))
    if out is None:
        _print_json(delivery_json(delivery))
        return
    written = [str(path) for path in write_delivery(delivery, out)]
    if as_json:
        _print_json({"written": written})
    else:
        typer.echo("\n".join(f"wrote {path}" for path in written))


@app.command("lint")
def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="SPEC…", help="Specs, or pipelines as JSON. Default: fleet.yaml.", show_default=False),
    ] = None,
    sites: Sites = None,
    digest: Digest = None,
    console: ConsoleUrl = None,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings fail too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check pipelines for Spinnaker's traps.

    Ends with code 78 where one would do something else than was meant.
    """
    from dataclasses import asdict

    from lorafleet.datasets.findings import counted
    from pipelines.delivering import Source, lint_path, refuse_unclean
    from pipelines.lint import Severity

    findings = [finding for path in paths or [_SPEC] for finding in lint_path(Source(path, sites, digest, console))]
    warnings = [finding for finding in findings if finding.severity is Severity.WARNING]
    if as_json:
        _print_json([asdict(finding) for finding in findings])
    else:
        if not strict:
            typer.echo("".join(f"{warning}\n" for warning in warnings), nl=False)
        typer.echo(f"{counted(len(findings) - len(warnings), 'error')}, {counted(len(warnings), 'warning')}")
    refuse_unclean(findings, strict=strict)


@app.command(cls=DetailedExit)
def plan(
    spec: Spec = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the plan for 'push --plan FILE'.")] = None,
    prune: Prune = False,
    sites: Sites = None,
    digest: Digest = None,
    console: ConsoleUrl = None,
    gate: GateUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show what a push would change.

    Exits with 0 where that is nothing and with 2 where it is something; any other code is an error (wrong usage is 1 here, not 2).
    """
    from rich.console import Console

    from pipelines.delivering import Source, gate_of, plan_of, read_delivery, refuse_unclean
    from pipelines.gate.plan_file import save_plan
    from pipelines.gate.plan_view import plan_json, print_plan
    from pipelines.lint import lint

    fleet, delivery = read_delivery(Source(spec or _SPEC, sites, digest, console))
    refuse_unclean(lint(delivery))
    client = gate_of(fleet, gate)
    found, _ = plan_of(client, delivery, prune=prune)
    if out is not None:
        save_plan(out, client.url, found)
    if as_json:
        _print_json(plan_json(found))
    else:
        print_plan(found, Console(highlight=False))
    raise typer.Exit(ExitCode.FINISHED if found.empty else CHANGES)


@app.command()
def push(
    spec: Spec = None,
    plan_file: Annotated[Path | None, typer.Option("--plan", metavar="FILE", help="Carry out this plan, in place of SPEC.")] = None,
    prune: Prune = False,
    sites: Sites = None,
    digest: Digest = None,
    console: ConsoleUrl = None,
    gate: GateUrl = None,
    as_json: AsJson = False,
) -> None:
    """Save the pipelines in Gate and read them back.

    Does nothing twice, overwrites nothing that changed since the plan, and touches nothing without our tag. Credentials for Gate are
    taken from the environment or from files that it names: LORAFLEET_GATE_CERT and _KEY; _USER and _PASSWORD[_FILE]; _BEARER[_FILE];
    or _TOKEN[_FILE]. LORAFLEET_WEBHOOK_SECRET[_FILE] is what Alertmanager sends to start the rollback.
    """
    from pipelines.delivering import Source, gate_of, plan_of, read_delivery, refuse_unclean
    from pipelines.gate.plan_file import read_plan
    from pipelines.gate.push import done_line
    from pipelines.gate.push import push as carry_out
    from pipelines.gate.webhook_secret import read_webhook_secret
    from pipelines.lint import lint

    if plan_file is not None:
        if spec is not None or prune or sites is not None or digest is not None:
            raise UsageError("a plan says already what is pushed", hint="give --plan FILE alone, or a SPEC")
        saved = read_plan(plan_file)
        client, wanted = gate_of(None, gate or saved.gate), saved.plan
    else:
        fleet, delivery = read_delivery(Source(spec or _SPEC, sites, digest, console))
        refuse_unclean(lint(delivery))
        client = gate_of(fleet, gate)
        wanted, _ = plan_of(client, delivery, prune=prune)
    done: list[dict[str, str]] = []
    secret = read_webhook_secret(os.environ)
    try:
        carry_out(client, wanted, secret, lambda change: done.append(done_line(change)))
    finally:
        if as_json:
            _print_json({"application": wanted.name, "done": done, "unchanged": len(wanted.changes) - len(wanted.steps)})
        else:
            for one in done:
                what = f"{wanted.name}/{one['pipeline']}" if "pipeline" in one else f"canary config {one['canaryConfig']}"
                typer.echo(f"{one['action']}d {what}")
    if not as_json and wanted.empty:
        typer.echo("nothing to change: Gate holds what the spec says")


@app.command(cls=DetailedExit)
def drift(
    spec: Spec = None,
    sites: Sites = None,
    digest: Digest = None,
    console: ConsoleUrl = None,
    gate: GateUrl = None,
    as_json: AsJson = False,
) -> None:
    """Tell where Gate differs from the spec, and who did that.

    Exits with 0 where it differs nowhere and with 2 where it does; any other code is an error (wrong usage is 1 here, not 2).
    """
    from rich.console import Console

    from pipelines.delivering import Source, gate_of, plan_of, read_delivery
    from pipelines.gate.drift import config_drift, find_drift, print_drift

    fleet, delivery = read_delivery(Source(spec or _SPEC, sites, digest, console))
    found, held = plan_of(gate_of(fleet, gate), delivery, prune=True)
    drifts, config = find_drift(found, held), config_drift(found)
    if as_json:
        told = {"application": found.name, "drift": not found.empty, "pipelines": [one.to_json() for one in drifts]}
        _print_json(told if config is None else {**told, "canaryConfig": config.to_json()})
    else:
        print_drift(drifts, found.name, Console(highlight=False))
        if config is not None:
            print_drift([config], "canary config", Console(highlight=False))
    raise typer.Exit(ExitCode.FINISHED if found.empty else CHANGES)


@app.command()
def run(
    spec: Spec = None,
    sites: Sites = None,
    digest: Digest = None,
    release: Annotated[
        str | None,
        typer.Option(
            "--release", metavar="ID", help="A release that is registered already; its token is in LORAFLEET_RELEASE_TOKEN."
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end; the exit code tells how that was.")] = False,
    gate: GateUrl = None,
    console: ConsoleUrl = None,
    as_json: AsJson = False,
) -> None:
    """Start a release of one digest through its pipeline.

    Gate must hold the pipelines as the spec says: push first. The release is registered at the console, with a releaser's token from
    LORAFLEET_TOKEN[_FILE]; where its pipeline cannot be started it is taken back.
    """
    from pipelines.delivering import Source
    from pipelines.starting import start_release

    source = Source(spec or _SPEC, sites, digest)
    started = start_release(source, release=release, gate_url=gate, console_url=console, tell=_news)
    if as_json:
        # One line, so that with --wait everything is JSON lines.
        typer.echo(json.dumps({"event": "started", "release": started.release, "execution": started.execution}))
    else:
        typer.echo(f"release {started.release} runs as execution {started.execution}")
        if not wait:
            typer.echo(f"follow it with: lorafleet release watch {started.execution}")
    if wait:
        _follow(started.gate, started.execution, as_json=as_json)


@app.command()
def watch(
    execution: Annotated[str, typer.Argument(metavar="EXECUTION", help="The execution's id, as 'release run' prints it.")],
    spec: Annotated[Path, typer.Option("--spec", metavar="SPEC", help="Where gate.url is.")] = _SPEC,
    gate: GateUrl = None,
    as_json: AsJson = False,
) -> None:
    """Follow an execution live.

    Exits with 0 if it succeeded and with 1 if not. Leaving this command does not stop the execution.
    """
    from pipelines.delivering import gate_of
    from pipelines.spec_files import read_spec

    client = gate_of(read_spec(spec) if gate is None else None, gate)
    _follow(client, execution.rstrip("/").rsplit("/", 1)[-1], as_json=as_json)


def _follow(client: "Gate", execution: str, *, as_json: bool) -> None:
    from pipelines.gate.execution_view import showing
    from pipelines.gate.watching import follow, raise_unless_good

    with showing(as_json=as_json) as show:
        ended = follow(client, execution, show)
    raise_unless_good(ended)


def _news(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
