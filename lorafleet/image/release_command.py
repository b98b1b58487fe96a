"""``lorafleet image release``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lorafleet.image.options import AsJson, Credentials
from lorafleet.registry.transport import Patience

if TYPE_CHECKING:
    from collections.abc import Callable

    from lorafleet.image.releasing import Checked

# A registry that is away must not hold the others up for long.
PATIENCE = Patience(attempts=3)


def release(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="registry/repository@sha256:…, or with a tag, which is looked up.")],
    key: Annotated[
        list[Path], typer.Option("--key", metavar="FILE", help="cosign.pub; may be repeated, and one of the keys is enough.")
    ],
    spec: Annotated[Path, typer.Option("--spec", metavar="FILE", help="The fleet that gets the image.")] = Path("fleet.yaml"),
    sites: Annotated[
        Path | None, typer.Option("--sites", metavar="DIR", help="Where the sites' files are. Default: sites/ beside the spec.")
    ] = None,
    gate: Annotated[
        str | None, typer.Option("--gate", envvar="LORAFLEET_GATE_URL", metavar="URL", help="In place of gate.url.")
    ] = None,
    console: Annotated[
        str | None, typer.Option("--console", envvar="LORAFLEET_CONSOLE", metavar="URL", help="In place of console.url.")
    ] = None,
    credentials: Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Release an image and follow it to the end; the exit code tells how that was.

    First it is verified where it lies and in the registry of every site, and Gate must hold the pipelines as the spec says
    ('lorafleet release push'). A releaser's token is taken from LORAFLEET_TOKEN[_FILE], and Gate's credentials as
    'lorafleet release push --help' tells.
    """
    from dataclasses import replace

    from rich.console import Console

    from lorafleet.image.releasing import check_name, check_places, resolve
    from lorafleet.registry.credentials import read_credentials
    from lorafleet.registry.repository import Registries
    from lorafleet.registry.signatures import read_public_key
    from pipelines.delivering import Source, gate_of, plan_of, read_delivery, refuse_unclean
    from pipelines.gate.execution_view import showing
    from pipelines.gate.plan_view import plan_json, print_plan
    from pipelines.gate.watching import follow, raise_unless_good
    from pipelines.lint import lint
    from pipelines.spec_files import read_sites, read_spec
    from pipelines.starting import start_release

    tell = _events() if as_json else _lines()
    keys = [read_public_key(path) for path in key]
    registries = Registries(read_credentials(credentials), PATIENCE)
    wanted = resolve(registries, image)
    tell("image", f"image {wanted}", image=str(wanted))
    fleet = read_spec(spec, wanted.digest)
    check_name(fleet, wanted)

    def checked(found: "Checked") -> None:
        if found.proof:
            sbom = "with an SBOM" if found.proof.sbom else "without an SBOM"
            tell("verified", f"verified {found.place}: signed, {sbom}", image=str(found.place), sbom=found.proof.sbom or None)
        elif found.away:
            tell("away", f"left out: {found.problem}", image=str(found.place), problem=str(found.problem))

    check_places(registries, wanted, fleet, read_sites(fleet, sites or spec.parent / "sites"), keys, checked)
    # --console is where the console is reached from here; what pipelines call is the spec's, if it says so.
    source = Source(spec, sites, wanted.digest)
    _, delivery = read_delivery(source if fleet.console is not None else replace(source, console=console))
    refuse_unclean(lint(delivery))
    plan, _ = plan_of(gate_of(fleet, gate), delivery, prune=False)
    if as_json:
        tell("plan", "", **plan_json(plan))
    else:
        print_plan(plan, Console(highlight=False))
    started = start_release(
        Source(spec, sites, wanted.digest),
        release=None,
        gate_url=gate,
        console_url=console,
        tell=lambda line: tell("waiting", line),
    )
    tell(
        "started",
        f"release {started.release} runs as execution {started.execution}",
        release=started.release,
        execution=started.execution,
    )
    with showing(as_json=as_json) as show:
        ended = follow(started.gate, started.execution, show)
    raise_unless_good(ended)
    tell("released", f"released {wanted}", image=str(wanted))


def _lines() -> "Callable[..., None]":
    def tell(_: str, line: str, **__: Any) -> None:
        typer.echo(line)

    return tell


def _events() -> "Callable[..., None]":
    import json

    def tell(event: str, line: str, **more: Any) -> None:
        typer.echo(json.dumps({"event": event, **(more or {"message": line})}))

    return tell
