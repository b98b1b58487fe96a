"""Names of uploaded files. They are labels: what is stored gets a name of our own, so that no given name ever reaches a disk."""

import re
from pathlib import PurePosixPath
from unicodedata import category, normalize

from lorafleet.console.uploads.refusals import UploadRefused

LABEL_BYTES = 700

_DRIVE = re.compile(r"[A-Za-z]:")
# Emoji and some scripts are joined by these two, which turn nothing around.
_JOINERS = "\u200c\u200d"
_HIDDEN_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")
_SLUG_LETTERS = 40


def label_of(given: str, depth: int) -> str:
    """A given name as a label: a relative path with slashes, in NFC.

    Raises:
        UploadRefused: it leads somewhere, hides something, or is longer than a name should be.
    """
    where = shown(given)
    hidden = next((letter for letter in given if category(letter) in _HIDDEN_CATEGORIES and letter not in _JOINERS), None)
    if hidden is not None:
        raise UploadRefused(
            f"the name holds the invisible or control character U+{ord(hidden):04X}", where=where, hint="rename the file"
        )
    if "/" in given and "\\" in given:
        raise UploadRefused("the name has both kinds of slashes", where=where, hint="rename the file")
    path = normalize("NFC", given.replace("\\", "/"))
    if path.startswith("/") or _DRIVE.match(path):
        raise UploadRefused("the name is an absolute path", where=where, hint="use a path inside the folder")
    parts = [part.strip() for part in path.split("/")]
    if ".." in parts:
        raise UploadRefused("the name leads out of its folder", where=where, hint="use a path inside the folder")
    if "" in parts:
        raise UploadRefused("the name has an empty part", where=where, hint="rename the file")
    parts = [part for part in parts if part != "."]
    if not parts:
        raise UploadRefused("the name is empty", where=where, hint="rename the file")
    if len(parts) > depth + 1:
        raise UploadRefused(f"the name goes through more than {depth} folders", where=where, hint="use fewer folders")
    label = "/".join(parts)
    if len(label.encode()) > LABEL_BYTES:
        raise UploadRefused(f"the name has more than {LABEL_BYTES} bytes", where=where, hint="rename the file")
    return label


def shown(given: str) -> str:
    """A given name for a message: short, and with everything escaped that could change how the message looks."""
    text = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode() for letter in given
    )
    return text if len(text) <= 120 else f"{text[:100]}…{text[-16:]}"


def stored_name(label: str, sha256: str, suffix: str) -> str:
    """Our own name for a content: a few plain letters of the label, eight of the hash, and the content's suffix."""
    stem = normalize("NFKD", PurePosixPath(label).stem).lower()
    slug = re.sub(r"[^a-z0-9]+", "-", stem).strip("-")[:_SLUG_LETTERS].strip("-") or "file"
    return f"{slug}-{sha256[:8]}{suffix}"


def is_litter(label: str) -> bool:
    """Whether an operating system put the file there, and nobody misses it."""
    parts = PurePosixPath(label).parts
    return (
        any(part.startswith(".") for part in parts) or parts[0] == "__MACOSX" or parts[-1].lower() in ("thumbs.db", "desktop.ini")
    )
