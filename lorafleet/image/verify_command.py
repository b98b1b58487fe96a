"""``lorafleet image verify``."""

from pathlib import Path
from typing import Annotated

import typer

from lorafleet.image.options import AsJson, Credentials, Image


def verify(
    image: Image,
    key: Annotated[
        list[Path], typer.Option("--key", metavar="FILE", help="cosign.pub; may be repeated, and one of the keys is enough.")
    ],
    require_sbom: Annotated[bool, typer.Option("--require-sbom", help="Let a missing SBOM fail too.")] = False,
    credentials: Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Check that the registry holds this digest, that it is signed, and whether an SBOM is attached."""
    import json

    from lorafleet.contracts.problems import DataError
    from lorafleet.image.references import pinned
    from lorafleet.image.verifying import prove
    from lorafleet.registry.credentials import read_credentials
    from lorafleet.registry.repository import Registries
    from lorafleet.registry.signatures import read_public_key

    wanted = pinned(image)
    keys = [read_public_key(path) for path in key]
    proof = prove(Registries(read_credentials(credentials)).repository(wanted), wanted.digest, keys)
    signature = proof.signature
    if as_json:
        found = {
            "image": str(wanted),
            "key": signature.key.name,
            "signedAs": signature.reference or None,
            "sbom": proof.sbom or None,
        }
        typer.echo(json.dumps(found))
    else:
        as_what = f", as {signature.reference}" if signature.reference else ""
        sbom = f"SBOM {proof.sbom}" if proof.sbom else "no SBOM"
        typer.echo(f"{wanted}: signed by {signature.key.name}{as_what}; {sbom}")
    if require_sbom and not proof.sbom:
        raise DataError("no SBOM is attached", where=str(wanted), hint="lorafleet image sbom attaches one")
