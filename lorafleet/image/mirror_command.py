"""``lorafleet image mirror``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorafleet.image.options import AsJson, Credentials, Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lorafleet.image.mirroring import Copy


def mirror(
    image: Image,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="REGISTRY", help="Registry with its path, as a site has it; default: those of the sites."),
    ] = None,
    spec: Annotated[Path, typer.Option("--spec", metavar="FILE", help="The fleet whose sites get the image.")] = Path("fleet.yaml"),
    sites: Annotated[
        Path | None, typer.Option("--sites", metavar="DIR", help="Where the sites' files are. Default: sites/ beside the spec.")
    ] = None,
    credentials: Credentials = None,
    scratch: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where layers lie on their way; the largest ones must fit.")
    ] = None,
    part: Annotated[
        int, typer.Option("--part", metavar="MIB", min=5, help="Larger layers are sent in parts of this; a proxy may want less.")
    ] = 64,
    as_json: AsJson = False,
) -> None:
    """Copy an image by its digest to every registry, with its signatures and SBOM. Call it again to go on after a failure."""
    import json
    from dataclasses import asdict

    from lorafleet.image.mirror_progress import watching
    from lorafleet.image.mirroring import mirror
    from lorafleet.image.references import pinned
    from lorafleet.image.targets import of_fleet, of_words
    from lorafleet.registry.credentials import read_credentials
    from lorafleet.registry.repository import Registries

    wanted = pinned(image)
    places = of_words(wanted, to) if to else of_fleet(wanted, spec, sites)
    registries = Registries(read_credentials(credentials))
    targets = [registries.repository(place).in_chunks(part << 20) for place in places]
    with watching(not as_json) as watcher:
        copies = mirror(registries.repository(wanted), wanted.digest, targets, watcher, scratch)
    if as_json:
        typer.echo(json.dumps({"digest": wanted.digest, "copies": [asdict(copy) for copy in copies]}))
    _tell(copies, wanted.digest, as_json)


def _tell(copies: "Sequence[Copy]", digest: str, as_json: bool) -> None:
    from lorafleet.contracts.problems import Problem, StorageError

    for copy in copies:
        if not copy.problem and not as_json:
            mounted = f", {copy.mounted} mounted" if copy.mounted else ""
            size = f"{copy.sent / 1e6:.1f} MB sent, {copy.skipped} blobs were there{mounted}"
            typer.echo(f"{copy.target}@{digest}: {size}")
    failed = [copy for copy in copies if copy.problem]
    if failed:
        lines = [Problem(copy.problem) for copy in failed]
        whole = f"{len(copies) - len(failed)} of {len(copies)} registries have the image"
        raise StorageError([*lines, Problem(whole, hint="run the same again: what is there is not sent again")])
