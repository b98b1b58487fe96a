"""Secrets in files: readable by their owner alone, never in a command line, an environment or a log."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from lorafleet.console.objects.signing import LEAST_SECRET_BYTES
from lorafleet.contracts.problems import ConfigError


def make_secret(path: Path) -> bytes:
    """The secret of a file, which is made with a new one where there is none; two processes at once get the same.

    Raises:
        ConfigError: the file cannot be made, or is no good.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(LEAST_SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            with suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            temporary.unlink()
    except OSError as error:
        raise ConfigError(f"the secret cannot be written: {error.strerror}", where=str(path)) from None
    return load_secret(path)


def load_secret(path: Path) -> bytes:
    """The secret of a file.

    Raises:
        ConfigError: it is missing, shorter than 32 bytes, or others may read it.
    """
    data = read_private(path).strip()
    if len(data) < LEAST_SECRET_BYTES:
        raise ConfigError(
            f"the secret has fewer than {LEAST_SECRET_BYTES} bytes", where=str(path), hint="remove the file for a new one"
        )
    return data


def read_private(path: Path) -> bytes:
    """The content of a file that holds secrets.

    Raises:
        ConfigError: it is missing, or others may read it.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigError("others may read this secret", where=str(path), hint=f"chmod 600 {path}")
            return file.read(64 * 1024)
    except OSError as error:
        raise ConfigError(f"the secret cannot be read: {(error.strerror or '').lower()}", where=str(path)) from None
