"""Text files that are read and written with errors of one line."""

from pathlib import Path

from lorafleet import whole_files
from lorafleet.contracts.problems import NoInputError, StorageError


def read_text(path: Path) -> str:
    """A text file.

    Raises:
        NoInputError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise NoInputError(f"cannot be read: {error.strerror}", where=str(path), hint="check the path") from None
    except UnicodeDecodeError:
        raise NoInputError("cannot be read: this is no UTF-8 text", where=str(path)) from None


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it appears whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole_files.write_whole(path, text, durable=False)
    except OSError as error:
        raise StorageError(f"cannot be written: {error.strerror}", where=str(path)) from None
