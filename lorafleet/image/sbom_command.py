"""``lorafleet image sbom``."""

from pathlib import Path
from typing import Annotated

import typer

from lorafleet.image.options import AsJson, Credentials, Image


def sbom(
    image: Image,
    lock: Annotated[
        list[Path] | None,
        typer.Option("--lock", metavar="FILE", help="What is installed; may be repeated. Default: requirements/trainer.txt."),
    ] = None,
    rootfs: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The unpacked image, if it is at hand: else its layers are fetched and searched."),
    ] = None,
    python: Annotated[
        str | None, typer.Option("--python", metavar="3.N", help="The image's Python; default: the distribution's in the image.")
    ] = None,
    platform: Annotated[str, typer.Option(metavar="OS/ARCH", help="Which image of an index.")] = "linux/amd64",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the document there too.")] = None,
    attach: Annotated[bool, typer.Option("--attach/--no-attach", help="Store it beside the image, as its referrer.")] = True,
    credentials: Credentials = None,
    as_json: AsJson = False,
) -> None:
    """List what is in the image, as CycloneDX, and attach the list to it."""
    import json

    from lorafleet.contracts.problems import StorageError
    from lorafleet.image import debian
    from lorafleet.image.image_files import from_layers, from_root, image_of
    from lorafleet.image.lock import read_locks
    from lorafleet.image.references import pinned
    from lorafleet.image.sbom import attach_sbom, created_of, make_sbom
    from lorafleet.registry.credentials import read_credentials
    from lorafleet.registry.repository import Registries

    wanted = pinned(image)
    repository = Registries(read_credentials(credentials)).repository(wanted)
    manifest = image_of(repository, wanted.digest, platform)
    if rootfs is not None:
        files = from_root(rootfs, debian.FILES, debian.STATUS_FOLDER)
    else:
        files = from_layers(repository, manifest, debian.wanted)
    packages = debian.packages(files)
    pins = read_locks(lock or [Path("requirements/trainer.txt")], python or debian.python_of(packages) or "3.12")
    created = created_of(repository.blob(manifest.config)) if manifest.config else created_of(b"")
    document = make_sbom(wanted, created, pins, files)
    if out is not None:
        try:
            out.write_bytes(document)
        except OSError as error:
            raise StorageError(f"cannot be written: {error.strerror}", where=str(out)) from None
    digest = attach_sbom(repository, wanted.digest, document) if attach else ""
    if as_json:
        found = {"image": str(wanted), "sbom": digest or None, "python": len(pins), "distribution": len(packages)}
        typer.echo(json.dumps(found))
    else:
        where = f", attached as {digest}" if digest else ""
        typer.echo(f"{wanted}: {len(pins)} Python and {len(packages)} distribution packages{where}")
