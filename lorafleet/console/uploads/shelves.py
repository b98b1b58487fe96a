"""Where an upload's state and files are kept: in a folder for one request, or, for a draft, where every console finds them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from lorafleet.console.uploads.state import Entry, Kind, StateFile, UploadState

Change = Callable[[UploadState], UploadState]


class Shelf(Protocol):
    """State and files of one upload. Several threads and processes may change it at once."""

    @property
    def folder(self) -> Path:
        """Room for what is being made, with a folder for images and one for texts in it."""
        ...

    def read(self) -> UploadState:
        """What the upload holds."""
        ...

    def change(self, how: Change, received: Mapping[str, Path] | None = None) -> None:
        """Put another state in the old one's place, all of it or nothing. ``how`` is asked again where somebody else was faster.

        ``received`` are the files of new entries by their SHA-256.
        """
        ...

    def texts(self, state: UploadState) -> Path:
        """A folder with all text files of the upload."""
        ...


class FolderShelf:
    """All of it in a folder on this console's disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_folders(folder)
        self._state = StateFile(folder)

    def read(self) -> UploadState:
        """See Shelf."""
        return self._state.read()

    def change(self, how: Change, received: Mapping[str, Path] | None = None) -> None:
        """See Shelf. Raises StorageError where the disk refuses."""
        with self._state.locked() as state:
            changed = how(state)
            for entry in new_entries(state, changed):
                target = folder_of(self.folder, entry) / entry.file
                # Linked, because the same content may have come under two names.
                target.unlink(missing_ok=True)
                target.hardlink_to((received or {})[entry.sha256])
            if changed != state:
                self._state.write(changed)

    def texts(self, state: UploadState) -> Path:
        """See Shelf."""
        return self.folder / "texts"


def make_folders(folder: Path) -> None:
    """Make an upload's folders."""
    for name in ("images", "texts", "parts"):
        (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)


def folder_of(folder: Path, entry: Entry) -> Path:
    """Where a file of this kind lies in an upload's folder."""
    return folder / ("images" if entry.kind is Kind.IMAGE else "texts")


def new_entries(before: UploadState, after: UploadState) -> Sequence[Entry]:
    """What a change has added."""
    there = set(before.entries)
    return [entry for entry in after.entries if entry not in there]
