"""Files that appear whole or not at all: they are written under a hidden name beside their target, whose place they then take.

A reader finds the old file or the new one at every moment. Several may write the same file at once, threads, processes or machines
that share the folder; the last to finish wins.

After a crash:

- A process that was killed leaves its target as it was, and a hidden file. Nobody reads that; a later write to the same folder
  removes it when it is a day old.
- After a power cut a ``durable`` target is the old file or the new one, and the new one if the call had returned. One that is not
  durable may also be empty or cut short: that is for what can be made again. On macOS ``fsync`` gets as far as the drive, whose own
  cache may still be lost.

The new file has the permissions of any new file, whatever the old one had. A symbolic link in the target's place is replaced, not
followed. The folder must be there.
"""

import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# The target's name is no part of it: patterns that match the target never match this, and a long name does not get too long.
_HIDDEN = ".lorafleet-"
_LEFT_OVER_SECONDS = 24 * 3600


def write_whole(path: Path, content: str | bytes, *, mode: int = 0o666, durable: bool = True) -> None:
    """Write a file; text as UTF-8, as it is. It has ``mode``, less the umask, from its first byte on.

    Raises:
        OSError: the disk refused. Nothing is left behind, and the old file is there still, unless the last step failed alone: the
            sync of the folder.
    """
    data = content.encode() if isinstance(content, str) else content
    with (
        replacing(path, durable=durable) as hidden,
        open(hidden, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file,
    ):
        file.write(data)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A path to write a file to, which becomes ``path`` at the end; after an error it is removed, and ``path`` is as it was.

    Raises:
        OSError: as :func:`write_whole` does.
    """
    _remove_left_overs(path.parent)
    hidden = path.with_name(f"{_HIDDEN}{secrets.token_hex(8)}")
    try:
        yield hidden
        if durable:
            sync(hidden)
        hidden.replace(path)
    finally:
        with suppress(OSError):
            hidden.unlink(missing_ok=True)
    if durable:
        sync(path.parent)


def sync(path: Path) -> None:
    """Bring a file's bytes, or a folder's names, to the disk.

    Raises:
        OSError: the disk refused.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems sync no folders.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def _remove_left_overs(folder: Path) -> None:
    with suppress(OSError):
        for path in folder.glob(f"{_HIDDEN}*"):
            if path.lstat().st_mtime < time.time() - _LEFT_OVER_SECONDS:
                path.unlink(missing_ok=True)
