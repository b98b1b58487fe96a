"""Files that must not replace older ones."""

import os
from pathlib import Path

from lorafleet.contracts.problems import StorageError, UsageError


def write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that was not there, with this mode from its first byte on.

    Raises:
        UsageError: it is there already.
        StorageError: it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise UsageError("is there already", where=str(path), hint="name another folder, or remove it first") from None
    except OSError as error:
        raise StorageError(f"cannot be written: {error.strerror}", where=str(path)) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        # Half a file would be in the way of the next try.
        path.unlink(missing_ok=True)
        raise StorageError(f"cannot be written: {error.strerror}", where=str(path)) from None
