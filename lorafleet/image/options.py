"""Options that several of the image's commands have."""

from pathlib import Path
from typing import Annotated

import typer

Image = Annotated[str, typer.Argument(metavar="IMAGE@DIGEST", help="registry/repository@sha256:…")]
Credentials = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Docker configuration with credentials; default: that of docker, podman or buildah."),
]
PasswordFile = Annotated[
    Path | None, typer.Option("--password-file", metavar="FILE", help="The key's passphrase; default: COSIGN_PASSWORD.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
