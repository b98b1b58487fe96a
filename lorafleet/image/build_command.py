"""``lorafleet image build``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorafleet.image.builders import BuilderName
from lorafleet.image.building import Target
from lorafleet.image.options import AsJson

if TYPE_CHECKING:
    from lorafleet.image.builders import Tell


def build(
    base: Annotated[
        str,
        typer.Option(
            metavar="IMAGE@DIGEST",
            envvar="LORAFLEET_BASE_IMAGE",
            help="Built on this: NVIDIA's smallest CUDA image for the trainer, Debian or Ubuntu for the console.",
        ),
    ],
    target: Annotated[Target, typer.Option(help="The Dockerfile's target.")] = Target.TRAINER,
    push: Annotated[
        str | None, typer.Option(metavar="REGISTRY/REPOSITORY", help="Push it there; without, it stays on this machine.")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="Default: the commit's first twelve digits.")] = None,
    context: Annotated[Path, typer.Option(metavar="DIR", help="The checkout with the Dockerfile.")] = Path(),
    builder: Annotated[BuilderName | None, typer.Option(help="Default: the one that is here; docker first.")] = None,
    package_index: Annotated[
        str | None, typer.Option(metavar="URL", help="Index of Python packages; a mirror of pypi.org, with the same files.")
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option("--ca", metavar="FILE", help="Certificates to trust the index by, while it is built.", exists=True),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--no-cache", help="Use nothing that an earlier build left; brings the distribution's newest packages.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show everything that the builder prints.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build the trainer's or the console's image, and print its digest.

    The same source on the same base gives the same digest. The base and every Python package are pinned by digest or hash.
    """
    import json

    from lorafleet.contracts.image import parse_image
    from lorafleet.image.builders import find_builder
    from lorafleet.image.building import (
        Build,
        destination,
        image_tag,
        package_index_of,
        pinned_base,
        revision,
        source_folder,
    )

    base_image, folder = pinned_base(base), source_folder(context)
    index = package_index_of(package_index) if package_index else None
    commit = revision(folder)
    name = image_tag(tag or (commit.removesuffix("-dirty")[:12] + ("-dirty" if commit.endswith("-dirty") else "")))
    image = destination(push, name) if push else parse_image(f"localhost/lorafleet/{target}:{name}")
    wanted = Build(folder, target, base_image, image, commit, index, ca, anew)
    found = find_builder(builder)
    _say(f"building {image} with {found.name} on {base_image}")
    built = found.build(wanted, push=push is not None, tell=_say if verbose else _steps())
    if as_json:
        told = {
            "image": str(built.image),
            "digest": built.digest or None,
            "target": target,
            "revision": commit,
            "builder": found.name,
        }
        typer.echo(json.dumps(told))
    elif built.digest:
        typer.echo(str(built.image.pinned(built.digest)))
    else:
        _say("not pushed: a digest that others can pull by comes with --push REGISTRY/REPOSITORY")
        typer.echo(str(built.image))


def _steps() -> "Tell":
    """Show what runs and what is copied, each once and in one line."""
    import re

    heading = re.compile(r"(?:\[[\d/]+\] STEP [\d/]+: |#\d+ \[[^\]]+\] )(?P<what>(?:RUN|COPY) .*)|(?P<push>Copying blob .*)")
    seen = set[str]()

    def tell(line: str) -> None:
        found = heading.match(line)
        if found is None:
            return
        # A mount says nothing of what the step does.
        what = found["what"] or "pushing"
        short = " ".join(re.sub(r"--mount=\S+", "", what).split())
        if short not in seen:
            seen.add(short)
            _say(f"  {short[:100]}{'…' if len(short) > 100 else ''}")

    return tell


def _say(line: str) -> None:
    typer.echo(line, err=True)
