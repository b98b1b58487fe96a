"""Finding the files of an image set."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lorafleet.contracts.problems import NoInputError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
# Pictures that people have but that are not read: named in the report instead of being passed over in silence.
OTHER_IMAGE_SUFFIXES = frozenset(
    {".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl", ".psd", ".svg", ".raw", ".dng", ".cr2", ".nef"}
)
SIDE_SUFFIXES = (".txt", ".caption")


@dataclass(frozen=True)
class FolderFiles:
    """Posix paths relative to the folder, sorted. ``unnameable`` are images whose names are not UTF-8 (shown escaped)."""

    images: tuple[str, ...]
    other_images: tuple[str, ...]
    side_files: tuple[str, ...]
    unnameable: tuple[str, ...]


def list_files(folder: Path) -> FolderFiles:
    """Look through a folder and those in it; hidden ones are passed over, links are followed.

    Raises:
        NoInputError: there is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        reason = "this is a file, not a folder" if folder.exists() else "there is no such folder"
        raise NoInputError(reason, where=str(folder), hint="name the folder that holds the images")
    images, others, sides, unnameable = [], [], [], []
    for name in _walk(folder):
        suffix = Path(name).suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            try:
                name.encode("utf-8")
            except UnicodeEncodeError:
                unnameable.append(name.encode("utf-8", "backslashreplace").decode())
            else:
                images.append(name)
        elif suffix in OTHER_IMAGE_SUFFIXES:
            others.append(name.encode("utf-8", "backslashreplace").decode())
        elif suffix in SIDE_SUFFIXES:
            sides.append(name)
    return FolderFiles(tuple(sorted(images)), tuple(sorted(others)), tuple(sorted(sides)), tuple(sorted(unnameable)))


def _walk(folder: Path) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise NoInputError(f"cannot be read: {error.strerror}", where=str(error.filename))

    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith("."):
                yield (Path(root) / name).relative_to(folder).as_posix()
