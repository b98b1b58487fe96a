"""Where captions come from: a metadata table, or a text file beside each image."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from unicodedata import normalize

from lorafleet.contracts.problems import NoInputError
from lorafleet.datasets.findings import Code, Finding, Severity, counted, listed
from lorafleet.datasets.image_files import SIDE_SUFFIXES, FolderFiles
from lorafleet.datasets.tables import Row, not_utf8, read_table, read_text

METADATA_NAMES = ("metadata.csv", "metadata.jsonl")
FILE_COLUMNS = ("file_name", "file", "image", "filename")
TEXT_COLUMNS = ("text", "prompt", "caption")

_NO_CAPTION_FILES = frozenset({"readme", "license", "licence", "notice"})
# Looking for the nearest name costs time for each name in the folder.
_HINTS_AT_MOST = 20


@dataclass(frozen=True)
class Captions:
    """Captions by image name, white space put in order; images without any are not in ``texts``."""

    texts: Mapping[str, str]
    findings: tuple[Finding, ...]


def find_metadata(folder: Path) -> Path | None:
    """The folder's own metadata table, if it has one."""
    return next((folder / name for name in METADATA_NAMES if (folder / name).is_file()), None)


def read_captions(folder: Path, files: FolderFiles, metadata: Path | None = None) -> Captions:
    """The captions of a folder's images.

    A row of ``metadata`` (by default the folder's own) wins over a side file, which fills in where there is no row.

    Raises:
        NoInputError: ``metadata`` or a side file cannot be read.
        DataError: it is not text.
    """
    if metadata is not None and not metadata.is_file():
        raise NoInputError("there is no such metadata file", where=str(metadata), hint="see metadata_path")
    source = metadata or find_metadata(folder)
    texts: dict[str, str] = {}
    findings: list[Finding] = []
    if source is not None:
        texts, findings = _from_table(source, folder, files.images)
        unused = [name for name in METADATA_NAMES if metadata is None and (folder / name).is_file() and name != source.name]
        for name in unused:
            findings.append(
                Finding(Code.UNUSED_FILE, Severity.WARNING, f"not read, since {source.name} is there too", str(folder / name))
            )
    from_table = bool(texts)
    broken = source is not None and not texts and any(finding.severity is Severity.ERROR for finding in findings)
    side_texts, side_findings, orphans = _from_side_files(folder, files)
    texts = {**side_texts, **texts}
    findings += side_findings
    if orphans and side_texts and not from_table:
        message = f"{counted(len(orphans), 'caption file')} without an image: {listed(orphans)}"
        findings.append(Finding(Code.CAPTION_WITHOUT_IMAGE, Severity.WARNING, message, str(folder), names=tuple(orphans)))
    if not broken:
        findings += _without_words(folder, files.images, texts)
    return Captions(texts, tuple(findings))


def _clean(caption: str) -> str:
    return " ".join(caption.split())


def _from_table(path: Path, folder: Path, images: Collection[str]) -> tuple[dict[str, str], list[Finding]]:
    table = read_table(path)
    findings = list(table.findings)
    known = {normalize("NFC", name): name for name in images}
    texts: dict[str, str] = {}
    lines: dict[str, int] = {}
    hints = 0
    for row in table.rows:
        where = f"{path}:{row.line}"
        file_column, text_column = (_column(row, columns) for columns in (FILE_COLUMNS, TEXT_COLUMNS))
        if file_column is None or text_column is None:
            message = f"columns 'file_name' and 'text' are needed, found {listed(row.values)}"
            hint = "the first line names the columns; 'file' and 'prompt' are known too"
            if path.suffix.lower() == ".csv":
                return {}, [*findings, Finding(Code.BAD_TABLE, Severity.ERROR, message, f"{path}:1", hint)]
            findings.append(Finding(Code.BAD_ROW, Severity.ERROR, message, where))
            continue
        given, caption = row.values[file_column], row.values[text_column]
        if not isinstance(given, str) or not isinstance(caption, str):
            findings.append(Finding(Code.BAD_ROW, Severity.ERROR, f"'{file_column}' and '{text_column}' must be text", where))
            continue
        name = _inside(given)
        if name is None:
            message = f"'{given}' leads out of the folder"
            findings.append(Finding(Code.OUTSIDE_FOLDER, Severity.ERROR, message, where, "file names are relative to the folder"))
        elif name not in known:
            hints += 1
            near = get_close_matches(name, known, n=1) if hints <= _HINTS_AT_MOST else []
            reason = "is no image that can be read" if (folder / name).exists() else "is not there"
            hint = f"did you mean '{near[0]}'?" if near else "add the file or remove the row"
            findings.append(Finding(Code.CAPTION_WITHOUT_IMAGE, Severity.ERROR, f"'{given}' {reason}", where, hint))
        elif known[name] in texts:
            message = f"'{given}' has a caption already, on line {lines[name]}; that one is used"
            findings.append(Finding(Code.TWO_CAPTIONS, Severity.WARNING, message, where, names=(known[name],)))
        else:
            texts[known[name]] = _clean(caption)
            lines[name] = row.line
    return texts, findings


def _column(row: Row, names: Iterable[str]) -> str | None:
    return next((name for name in names if name in row.values), None)


def _inside(given: str) -> str | None:
    """A table's file name as a normal posix path, or None where it leads out of the folder."""
    path = PurePosixPath(given.strip().replace("\\", "/"))
    if path.is_absolute() or PureWindowsPath(given.strip()).drive or ".." in path.parts or "\0" in given:
        return None
    return normalize("NFC", path.as_posix())


def _from_side_files(folder: Path, files: FolderFiles) -> tuple[dict[str, str], list[Finding], list[str]]:
    by_stem: dict[str, list[str]] = {}
    for name in files.images:
        by_stem.setdefault(str(PurePosixPath(name).with_suffix("")), []).append(name)
    texts: dict[str, str] = {}
    orphans, guessed = [], []
    for side in sorted(files.side_files, key=lambda name: SIDE_SUFFIXES.index(PurePosixPath(name).suffix.lower())):
        path = PurePosixPath(side)
        images = by_stem.get(str(path.with_suffix("")))
        if images is None:
            if path.stem.lower() not in _NO_CAPTION_FILES:
                orphans.append(side.encode("utf-8", "backslashreplace").decode())
            continue
        text, is_unicode = read_text(folder / side)
        if not is_unicode:
            guessed.append(side)
        for image in images:
            texts.setdefault(image, _clean(text))
    findings = [not_utf8(str(folder), tuple(sorted(guessed)))] if guessed else []
    return texts, findings, sorted(orphans)


def _without_words(folder: Path, images: Iterable[str], texts: Mapping[str, Any]) -> list[Finding]:
    findings = []
    for code, names, what in (
        (Code.NO_CAPTION, tuple(name for name in images if name not in texts), "without a caption"),
        (Code.EMPTY_CAPTION, tuple(name for name in images if texts.get(name) == ""), "with an empty caption"),
    ):
        if names:
            message = f"{counted(len(names), 'image')} {what}: {listed(names)}"
            hint = "captions tell the model what not to learn; 'lorafleet data caption-csv' starts the file"
            findings.append(Finding(code, Severity.WARNING, message, str(folder), hint, names))
    return findings
