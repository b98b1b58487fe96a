"""Receiving bytes on the disk: real ones are counted, and some of the disk is left to others."""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lorafleet.console.uploads.limits import MIB
from lorafleet.console.uploads.refusals import NoRoom, UploadTooLarge

_BLOCK = 1 << 18
_LOOK_EVERY = 8 * MIB


@dataclass(frozen=True)
class Received:
    """What came."""

    path: Path
    size: int
    sha256: str


class Budget:
    """How many bytes an upload may still take."""

    def __init__(self, left: int, folder: Path, min_free_bytes: int) -> None:
        self._left = left
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self._unseen = _LOOK_EVERY

    def spend(self, count: int, where: str) -> None:
        """Count bytes.

        Raises:
            UploadTooLarge: the upload has too many.
            NoRoom: the disk is nearly full.
        """
        self._left -= count
        if self._left < 0:
            raise UploadTooLarge(
                "the upload is larger than it may be", where=where, hint="upload less at once, or as two data sets"
            )
        self._unseen += count
        if self._unseen >= _LOOK_EVERY:
            self._unseen = 0
            if shutil.disk_usage(self._folder).free < self._min_free_bytes:
                raise NoRoom("the console's disk is nearly full", where=where, hint="try again later, or ask its operator")


def blocks_of(stream: BinaryIO) -> Iterator[bytes]:
    """A stream's blocks."""
    while block := stream.read(_BLOCK):
        yield block


def receive(blocks: Iterable[bytes], path: Path, most: int, budget: Budget, where: str) -> Received:
    """Write what comes to a new file.

    Raises:
        UploadTooLarge, NoRoom: more than ``most`` bytes come, or more than the budget has; the file is left to whoever clears up.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        for block in blocks:
            size += len(block)
            if size > most:
                raise UploadTooLarge(f"the file has more than {most // MIB} MiB", where=where, hint="make it smaller")
            budget.spend(len(block), where)
            digest.update(block)
            file.write(block)
    return Received(path, size, digest.hexdigest())
