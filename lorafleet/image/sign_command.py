"""``lorafleet image sign``."""

from pathlib import Path
from typing import Annotated

import typer

from lorafleet.image.options import AsJson, Credentials, Image, PasswordFile


def sign(
    image: Image,
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="cosign.key, or a PKCS 8 key in PEM; ECDSA P-256.")],
    password_file: PasswordFile = None,
    credentials: Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Sign an image by its digest, where it lies. cosign, policy-controller, Kyverno and the console verify it."""
    import json

    from lorafleet.image.keys import read_password, read_signing_key
    from lorafleet.image.references import pinned
    from lorafleet.image.signing import sign
    from lorafleet.registry.credentials import read_credentials
    from lorafleet.registry.repository import Registries

    wanted = pinned(image)
    private = read_signing_key(key, read_password(password_file))
    repository = Registries(read_credentials(credentials)).repository(wanted)
    signed = sign(repository, wanted.digest, private)
    if as_json:
        typer.echo(json.dumps({"image": str(wanted), "signatures": signed.manifest, "new": signed.new}))
    else:
        typer.echo(f"{wanted}: {'signed' if signed.new else 'was signed by this key already'}")
