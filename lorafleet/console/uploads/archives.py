"""Opening a zip archive of a stranger. What it says of itself is checked before, and what comes out is counted while it comes.

Sources: APPNOTE.TXT 6.3.10; David Fifield, "A better zip bomb" (WOOT 2019) for entries that overlap.
"""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lorafleet.console.uploads.limits import MIB, Limits
from lorafleet.console.uploads.names import is_litter, label_of, shown
from lorafleet.console.uploads.refusals import HostileArchive, UploadTooLarge
from lorafleet.console.uploads.zip_names import guess_encoding, unicode_path

_BLOCK = 1 << 18
_LOCAL_HEADER, _DIRECTORY_ENTRY = 30, 46
_END, _END_BYTES = b"PK\x05\x06", 22
_END64_LOCATOR, _END64_LOCATOR_BYTES = b"PK\x06\x07", 20
_LONGEST_COMMENT = 0xFFFF
# Name and extra fields that a directory entry may have on average.
_ENTRY_ROOM = 1024
_ENCRYPTED = 0x1 | 0x40
_UTF8 = 0x800
_NESTED = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"Rar!\x1a\x07",
    b"7z\xbc\xaf\x27\x1c",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ\0",
    b"\x28\xb5\x2f\xfd",
)
NESTED_SUFFIXES = (".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".lzma", ".cab", ".iso")
_HINT = "pack it anew with an ordinary zip program"


@dataclass(frozen=True)
class Member:
    """A file of an archive. ``guess`` is the encoding that its name was read in where the archive does not say it."""

    label: str
    guess: str | None
    info: zipfile.ZipInfo


def is_archive(head: bytes) -> bool:
    """Whether a file's first bytes (262 are enough) are those of an archive or of a compressed file."""
    return head.startswith(_NESTED) or head[257:262] == b"ustar"


class Archive:
    """An open archive whose directory holds nothing that is refused."""

    def __init__(self, file: zipfile.ZipFile, members: tuple[Member, ...], limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self.members = members

    def blocks(self, member: Member) -> Iterator[bytes]:
        """The content of a member.

        Raises:
            HostileArchive: it is damaged, or not what the directory says.
            UploadTooLarge: more comes out than may.
        """
        where, came = shown(member.label), 0
        allowed = max(MIB, member.info.compress_size * self._limits.ratio)
        try:
            with self._file.open(member.info) as stream:
                while block := stream.read(_BLOCK):
                    came += len(block)
                    if came > allowed:
                        raise UploadTooLarge(f"it grows to more than {self._limits.ratio} times its size", where=where, hint=_HINT)
                    yield block
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error, OSError, ValueError):
            raise HostileArchive(
                "this part of the archive is damaged, or not what the archive says", where=where, hint=_HINT
            ) from None
        if came != member.info.file_size:
            raise HostileArchive("the archive lies about this part's size", where=where, hint=_HINT)


@contextmanager
def open_archive(path: Path, limits: Limits, where: str) -> Iterator[Archive]:
    """Open a zip archive; ``where`` is its name for messages. Folders and what operating systems leave there are no members.

    Raises:
        HostileArchive: it is no zip archive, is damaged, encrypted, or holds what no data set needs.
        UploadRefused: a name in it is hostile.
        UploadTooLarge: it says to hold more than may be.
    """
    with path.open("rb") as raw:
        _check_directory_size(raw, limits, where)
        try:
            file = zipfile.ZipFile(raw)
        except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError, struct.error, OSError, ValueError):
            raise HostileArchive("this is no zip archive, or a damaged one", where=where, hint=_HINT) from None
        with file:
            _refuse_overlaps(file, where)
            yield Archive(file, _members(file.infolist(), limits, where), limits)


def _members(infos: list[zipfile.ZipInfo], limits: Limits, where: str) -> tuple[Member, ...]:
    if len(infos) > limits.files:
        raise UploadTooLarge(f"the archive has {len(infos)} parts, more than {limits.files}", where=where, hint="use several")
    if sum(info.file_size for info in infos) > limits.upload_bytes:
        raise UploadTooLarge(f"the archive holds more than {limits.upload_bytes // MIB} MiB", where=where, hint="use several")
    guess = guess_encoding(_raw_name(info) for info in infos if not info.flag_bits & _UTF8)
    members: list[Member] = []
    seen: dict[str, str] = {}
    for info in infos:
        given, guessed = _given_name(info, guess)
        if info.flag_bits & _ENCRYPTED:
            raise HostileArchive("the archive is encrypted", where=f"{where}: {shown(given)}", hint="pack it without a password")
        label = label_of(given.rstrip("/") if info.is_dir() else given, limits.depth)
        if info.is_dir() or is_litter(label):
            continue
        _refuse_kind(info, label, where)
        if label in seen:
            raise HostileArchive("two files of the archive have this name", where=shown(label), hint="rename one")
        seen[label] = label
        members.append(Member(label, guessed, info))
    return tuple(members)


def _refuse_kind(info: zipfile.ZipInfo, label: str, where: str) -> None:
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise HostileArchive(
            "the archive holds a link or a device", where=f"{where}: {shown(label)}", hint="pack the files themselves"
        )
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise HostileArchive(
            "the archive uses a rare compression", where=f"{where}: {shown(label)}", hint="use the ordinary one, deflate"
        )
    if label.lower().endswith(NESTED_SUFFIXES):
        raise HostileArchive("the archive holds another archive", where=f"{where}: {shown(label)}", hint="unpack that one first")


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    # zipfile has read it as CP437, which loses nothing. Not info.filename: that one ends at a NUL.
    return info.orig_filename.encode("cp437")


def _given_name(info: zipfile.ZipInfo, guess: str | None) -> tuple[str, str | None]:
    if info.flag_bits & _UTF8:
        return info.orig_filename, None
    raw = _raw_name(info)
    if raw.isascii():
        return raw.decode("ascii"), None
    stated = unicode_path(info.extra, raw)
    return (stated, None) if stated is not None else (raw.decode(guess or "cp437"), guess)


def _refuse_overlaps(file: zipfile.ZipFile, where: str) -> None:
    end = 0
    for info in sorted(file.infolist(), key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise HostileArchive("parts of the archive overlap, as in a zip bomb", where=where, hint=_HINT)
        end = info.header_offset + _LOCAL_HEADER + info.compress_size


def _check_directory_size(raw: BinaryIO, limits: Limits, where: str) -> None:
    """Refuse a directory of millions of entries before zipfile reads all of them into memory."""
    size = raw.seek(0, 2)
    start = max(0, size - _END_BYTES - _LONGEST_COMMENT)
    raw.seek(start)
    tail = raw.read()
    at = tail.rfind(_END)
    if at < 0 or at + _END_BYTES > len(tail):
        raise HostileArchive("this is no zip archive, or one that was cut off", where=where, hint=_HINT)
    (directory_bytes,) = struct.unpack_from("<I", tail, at + 12)
    locator = at - _END64_LOCATOR_BYTES
    if locator >= 0 and tail[locator : locator + 4] == _END64_LOCATOR:
        (offset,) = struct.unpack_from("<Q", tail, locator + 8)
        if offset + 56 > size:
            raise HostileArchive("this is no zip archive, or a damaged one", where=where, hint=_HINT)
        raw.seek(offset + 40)
        (directory_bytes,) = struct.unpack("<Q", raw.read(8))
    if directory_bytes > limits.files * (_DIRECTORY_ENTRY + _ENTRY_ROOM):
        raise UploadTooLarge(f"the archive has more than {limits.files} parts", where=where, hint="use several")
    raw.seek(0)
