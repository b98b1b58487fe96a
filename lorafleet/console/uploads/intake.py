"""The intake: takes files, folders and zip archives one after the other into a staging folder, and makes a data set version of them."""

import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from lorafleet.console.uploads.archives import NESTED_SUFFIXES, Archive, Member, is_archive, open_archive
from lorafleet.console.uploads.caption_lookup import look_up
from lorafleet.console.uploads.decoder import decoders
from lorafleet.console.uploads.limits import Limits
from lorafleet.console.uploads.names import is_litter, label_of, shown, stored_name
from lorafleet.console.uploads.reception import Budget, Received, blocks_of, receive
from lorafleet.console.uploads.refusals import HostileArchive, UploadRefused, UploadTooLarge
from lorafleet.console.uploads.shelves import Shelf
from lorafleet.console.uploads.state import Entry, Kind, UploadState
from lorafleet.console.uploads.versions import PreparedVersion, prepare_images, prepare_texts
from lorafleet.contracts.problems import DataError
from lorafleet.datasets.image_files import IMAGE_SUFFIXES, OTHER_IMAGE_SUFFIXES, SIDE_SUFFIXES
from lorafleet.datasets.tables import SUFFIXES as TABLE_SUFFIXES
from lorafleet.datasets.tables import read_text

_KNOWN = "PNG, JPEG, WebP and BMP pictures, .txt and .caption files, .csv, .jsonl and .json tables, and zip archives are taken"


@dataclass(frozen=True)
class Taken:
    """What became of a file. ``name`` is what the person called it.

    ``file`` is the stored file's own name, by which captions are set; it is empty where the file was refused, and ``refused`` says why.
    ``guess`` is the encoding that the name was read in, where that was guessed: show it, the person sees whether it is right.
    """

    name: str
    file: str
    kind: str
    size: int
    guess: str | None = None
    refused: str = ""


class Intake:
    """One upload; another object on the same shelf goes on with it.

    Several threads and processes may add to one upload at once. A refusal changes nothing.
    """

    def __init__(self, shelf: Shelf, limits: Limits) -> None:
        self._limits = limits
        self._shelf = shelf

    def add(self, name: str, stream: BinaryIO) -> list[Taken]:
        """Take a file, or all files of a zip archive; ``name`` is its path as the browser or client says it.

        Of an archive whose parts are named well, a part that is no picture or text is left out and named in the answer.

        Raises:
            UploadRefused: what came is not taken, or an archive is hostile.
            UploadTooLarge: it has more than it may.
            NoRoom: the disk is nearly full.
        """
        label = label_of(name, self._limits.depth)
        if is_litter(label):
            return []
        is_zip = label.lower().endswith(".zip")
        most = self._limits.upload_bytes if is_zip else self._most(_kind(label))
        left = self._limits.upload_bytes - self._shelf.read().size
        with self._part_folder() as folder:
            budget = Budget(left, folder, self._limits.min_free_bytes)
            received = receive(blocks_of(stream), folder / "whole", most, budget, shown(label))
            if is_zip:
                taken, entries = self._unpack(label, received, folder, left)
            else:
                entries = [self._checked(label, None, received, folder)]
                taken = [_taken(entries[0])]
            stored = self._store(folder, entries)
        return [replace(item, file=stored.get(item.name, "")) for item in taken]

    def captions(self) -> dict[str, str]:
        """The caption of every image by file: set by hand, from a table, or from a text file beside it; empty where there is none."""
        state = self._shelf.read()
        found = look_up(state, self._shelf.texts(state))
        return {entry.file: found.texts.get(entry.label, "") for entry in state.images}

    def set_captions(self, captions: Mapping[str, str]) -> None:
        """Set images' captions by hand, by file.

        Raises:
            UploadRefused: there is no such image, or a text is too long or no text.
        """
        checked = {file: checked_caption(text, file, self._limits) for file, text in captions.items()}

        def change(state: UploadState) -> UploadState:
            there = {entry.file for entry in state.images}
            for file in checked:
                if file not in there:
                    raise _no_file(file)
            return replace(state, captions={**state.captions, **checked})

        self._shelf.change(change)

    def remove(self, file: str) -> None:
        """Take a file out, and with an image the text file that belongs to it alone.

        Raises:
            UploadRefused: there is no such file.
        """

        def change(state: UploadState) -> UploadState:
            if file not in {entry.file for entry in state.entries}:
                raise _no_file(file)
            return state.without(file)

        self._shelf.change(change)

    def finish(self) -> PreparedVersion:
        """Write ``metadata.csv``, check everything, and say what makes up the version. May be called again after changes.

        Raises:
            UploadRefused: nothing was uploaded.
        """
        state = self._shelf.read()
        if not state.entries:
            raise UploadRefused("there is nothing in this upload", hint=_KNOWN)
        texts = self._shelf.texts(state)
        if state.images:
            return prepare_images(state.images, look_up(state, texts), self._shelf.folder / "images")
        return prepare_texts(state.entries, texts)

    @contextmanager
    def _part_folder(self) -> Iterator[Path]:
        folder = self._shelf.folder / "parts" / secrets.token_hex(8)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _unpack(self, label: str, whole: Received, folder: Path, left: int) -> tuple[list[Taken], list[Entry]]:
        taken: list[Taken] = []
        entries: list[Entry] = []
        budget = Budget(left, folder, self._limits.min_free_bytes)
        with open_archive(whole.path, self._limits, shown(label)) as archive:
            for number, member in enumerate(archive.members):
                try:
                    entries.append(self._member(archive, member, folder / f"member-{number}", budget))
                except HostileArchive:
                    raise
                except UploadRefused as error:
                    taken.append(Taken(member.label, "", "", member.info.file_size, member.guess, str(error)))
                else:
                    taken.append(_taken(entries[-1]))
        if not archive.members:
            raise UploadRefused("the archive is empty", where=shown(label), hint=_KNOWN)
        return taken, entries

    def _member(self, archive: Archive, member: Member, path: Path, budget: Budget) -> Entry:
        # Decided by name and size first, so that what is not taken is not unpacked either.
        most, where = self._most(_kind(member.label)), shown(member.label)
        if member.info.file_size > most:
            raise UploadRefused(f"the file has more than {most >> 20} MiB", where=where, hint="make it smaller")
        received = receive(archive.blocks(member), path, most, budget, where)
        if is_archive(_head(path)):
            raise HostileArchive("the archive holds another archive", where=where, hint="unpack that one first")
        return self._checked(member.label, member.guess, received, path.parent)

    def _checked(self, label: str, guess: str | None, received: Received, folder: Path) -> Entry:
        """A file that is what it says, in ``folder`` under the hash of what will be stored."""
        kind, where = _kind(label), shown(label)
        if received.size == 0:
            raise UploadRefused("the file is empty", where=where, hint="remove it")
        if kind is not Kind.IMAGE:
            _check_text(received.path, self._limits.rows, where)
            file = stored_name(label, received.sha256, PurePosixPath(label).suffix.lower())
            received.path.rename(folder / received.sha256)
            return Entry(file, label, kind, received.size, received.sha256, guess)
        clean = folder / "clean"
        # One picture at a time, so that an archive of thousands does not keep a process from everybody else.
        with decoders().borrowed() as decoder:
            facts = decoder.take(received.path, clean, self._limits.pixels, where)
        received.path.unlink()
        clean.rename(folder / facts.sha256)
        file = stored_name(label, facts.sha256, facts.suffix)
        return Entry(file, label, kind, facts.size, facts.sha256, guess, facts.width, facts.height, facts.dhash)

    def _store(self, folder: Path, entries: list[Entry]) -> dict[str, str]:
        """Make the files part of the upload, all or none; their names by label."""
        stored: dict[str, str] = {}

        def merge(state: UploadState) -> UploadState:
            by_label = {entry.label: entry for entry in state.entries}
            names = {entry.file for entry in state.entries}
            new: list[Entry] = []
            stored.clear()
            for entry in entries:
                there = by_label.get(entry.label)
                if there is not None and there.sha256 != entry.sha256:
                    raise UploadRefused(
                        "the upload has another file of this name already", where=shown(entry.label), hint="rename one"
                    )
                if there is None:
                    there = replace(entry, file=_unused(entry.file, names))
                    names.add(there.file)
                    new.append(there)
                stored[entry.label] = there.file
            self._refuse_too_much(state, new)
            return state.with_entries(tuple(new))

        self._shelf.change(merge, {entry.sha256: folder / entry.sha256 for entry in entries})
        return stored

    def _most(self, kind: Kind) -> int:
        return self._limits.image_bytes if kind is Kind.IMAGE else self._limits.text_bytes

    def _refuse_too_much(self, state: UploadState, new: list[Entry]) -> None:
        if len(state.entries) + len(new) > self._limits.files:
            raise UploadTooLarge(f"the upload has more than {self._limits.files} files", hint="use two data sets")
        if state.size + sum(entry.size for entry in new) > self._limits.upload_bytes:
            raise UploadTooLarge("the upload is larger than it may be", hint="upload less at once, or as two data sets")


def checked_caption(text: str, file: str, limits: Limits) -> str:
    """A caption with its white space put in order.

    Raises:
        UploadRefused: it is too long or holds what no text holds.
    """
    # A byte order mark comes along when text is copied out of a file.
    caption = " ".join(text.replace("\ufeff", "").split())
    if len(caption.encode("utf-8", "surrogatepass")) > limits.caption_bytes:
        raise UploadRefused(f"the caption has more than {limits.caption_bytes} bytes", where=shown(file), hint="make it shorter")
    bad = next((letter for letter in caption if ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) < 0xE000), None)
    if bad is not None:
        raise UploadRefused(f"the caption holds the control character U+{ord(bad):04X}", where=shown(file), hint="remove it")
    return caption


def _kind(label: str) -> Kind:
    suffix = PurePosixPath(label).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return Kind.IMAGE
    if suffix in SIDE_SUFFIXES:
        return Kind.WORDS
    if suffix in TABLE_SUFFIXES:
        return Kind.TABLE
    if suffix in OTHER_IMAGE_SUFFIXES:
        raise UploadRefused("pictures of this format are not read", where=shown(label), hint="convert it to PNG, JPEG or WebP")
    if suffix in NESTED_SUFFIXES:
        raise UploadRefused("only zip archives are opened", where=shown(label), hint="unpack it, or pack it as zip")
    raise UploadRefused("this kind of file is not taken", where=shown(label), hint=_KNOWN)


def _check_text(path: Path, rows: int, where: str) -> None:
    data = path.read_bytes()
    # Each is an object of its own in memory, of some hundred bytes.
    if max(data.count(sign) for sign in (b"\n", b"{", b"[")) > rows:
        raise UploadRefused(f"the file has more than {rows} rows", where=where, hint="use several files, or fewer rows")
    try:
        text = read_text(path).text
    except DataError as error:
        raise UploadRefused(error.problems[0].what, where=where, hint=error.problems[0].hint) from None
    if "\0" in text:
        raise UploadRefused("this is no text", where=where, hint="save it as UTF-8")


def _no_file(file: str) -> UploadRefused:
    return UploadRefused("there is no such file in this upload", where=shown(file))


def _taken(entry: Entry) -> Taken:
    return Taken(entry.label, entry.file, entry.kind, entry.size, entry.guess)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(262)


def _unused(name: str, used: set[str]) -> str:
    path, number, result = PurePosixPath(name), 1, name
    while result in used:
        number += 1
        result = f"{path.stem}-{number}{path.suffix}"
    return result
