"""``lorafleet store``: serve a folder as an object store."""

from pathlib import Path
from typing import Annotated

import typer


def store(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder; it is made where it is not there.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    secret_file: Annotated[
        Path | None, typer.Option(help="The secret shared with the console; made if it is not there. Default: DIR.secret.")
    ] = None,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Listen on an address that is not loopback.")] = False,
) -> None:
    """Serve a folder as an object store, to holders of signed URLs only. Prints its address."""
    from lorafleet.console.objects.folder_server import serve_folder
    from lorafleet.console.objects.secret_files import make_secret

    secret = secret_file or folder.absolute().with_name(f"{folder.absolute().name}.secret")
    make_secret(secret)
    serve_folder(folder, port, secret, host, ready=typer.echo, allow_remote=allow_remote)
