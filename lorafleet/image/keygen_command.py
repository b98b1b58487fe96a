"""``lorafleet image keygen``: a pair of keys as cosign makes it."""

from pathlib import Path
from typing import Annotated

import typer


def keygen(
    directory: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where cosign.key and cosign.pub go.")] = Path(),
    password_file: Annotated[
        Path | None, typer.Option("--password-file", metavar="FILE", help="Passphrase; default: COSIGN_PASSWORD.")
    ] = None,
) -> None:
    """Make cosign.key, encrypted, and cosign.pub. A key in a cloud's key service is the better one for a real fleet."""
    from lorafleet.contracts.problems import LorafleetError, UsageError
    from lorafleet.image.keys import PASSWORD_VARIABLE, new_pair, read_password
    from lorafleet.image.new_files import write_new

    password = read_password(password_file)
    if not password:
        raise UsageError("a key needs a passphrase", hint=f"set {PASSWORD_VARIABLE}, or name a file with --password-file")
    private, public = directory / "cosign.key", directory / "cosign.pub"
    sealed, shown = new_pair(password)
    write_new(private, sealed, 0o600)
    try:
        write_new(public, shown, 0o644)
    except LorafleetError:
        # Without its other half this one is of no use, and in the way of the next try.
        private.unlink(missing_ok=True)
        raise
    typer.echo(f"{private} (keep it secret) and {public} (give it to whoever verifies: lorafleet serve --signing-key)")
