"""Finding the captions of an upload's images among its tables and text files, by what the person called them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lorafleet.console.uploads.decoder import decoders
from lorafleet.console.uploads.findings import relabelled
from lorafleet.console.uploads.refusals import UploadRefused
from lorafleet.console.uploads.state import Entry, Kind, UploadState
from lorafleet.datasets.caption_sources import METADATA_NAMES, Captions
from lorafleet.datasets.findings import Code, Finding, Severity, counted, listed
from lorafleet.datasets.tables import not_utf8, read_text

_NO_CAPTION_FILES = ("readme", "license", "licence", "notice")
_LATER = (Code.NO_CAPTION, Code.EMPTY_CAPTION)


def look_up(state: UploadState, folder: Path) -> Captions:
    """Captions by label. Those set by hand win over a table's, and those over a text file's beside the image."""
    labels = [entry.label for entry in state.images]
    texts, findings = _from_words(state, labels, folder)
    for table in sorted(
        (entry for entry in state.entries if entry.kind is Kind.TABLE), key=lambda entry: entry.label, reverse=True
    ):
        more, found = _from_table(table, labels, folder)
        texts.update(more)
        findings += found
    texts.update({entry.label: state.captions[entry.file] for entry in state.images if entry.file in state.captions})
    return Captions(texts, tuple(findings))


def _from_table(table: Entry, labels: list[str], folder: Path) -> tuple[Mapping[str, str], list[Finding]]:
    # A table's names are relative to where it lies.
    below = PurePosixPath(table.label).parent.as_posix()
    prefix = "" if below == "." else f"{below}/"
    names = tuple(label.removeprefix(prefix) for label in labels if label.startswith(prefix))
    try:
        with decoders().borrowed() as decoder:
            found = decoder.captions(folder / table.file, names, table.label)
    except UploadRefused as error:
        problem = error.problems[0]
        return {}, [Finding(Code.BAD_TABLE, Severity.ERROR, problem.what, table.label, problem.hint)]
    broken = next((finding for finding in found.findings if finding.severity is Severity.ERROR), None)
    if broken and not found.texts and PurePosixPath(table.label).name not in METADATA_NAMES:
        # Pictures come with tables of all kinds; one that is not called as ours are may mean something else.
        return {}, [Finding(Code.UNUSED_FILE, Severity.WARNING, f"no captions in it: {broken.message}", table.label, broken.hint)]
    findings = [replace(finding, names=tuple(prefix + name for name in finding.names)) for finding in found.findings]
    texts = {prefix + name: text for name, text in found.texts.items()}
    return texts, relabelled((finding for finding in findings if finding.code not in _LATER), folder, [table])


def _from_words(state: UploadState, labels: list[str], folder: Path) -> tuple[dict[str, str], list[Finding]]:
    by_stem: dict[str, list[str]] = {}
    for label in labels:
        by_stem.setdefault(_stem(label), []).append(label)
    texts: dict[str, str] = {}
    orphans: list[str] = []
    guessed: list[str] = []
    for entry in sorted((entry for entry in state.entries if entry.kind is Kind.WORDS), key=lambda entry: entry.label):
        images = by_stem.get(_stem(entry.label))
        if images is None:
            if PurePosixPath(entry.label).stem.lower() not in _NO_CAPTION_FILES:
                orphans.append(entry.label)
            continue
        text, is_unicode = read_text(folder / entry.file)
        if not is_unicode:
            guessed.append(entry.label)
        for image in images:
            texts[image] = " ".join(text.split())
    findings = [not_utf8("", tuple(guessed))] if guessed else []
    if orphans:
        message = f"{counted(len(orphans), 'caption file')} without an image: {listed(orphans)}"
        findings.append(Finding(Code.CAPTION_WITHOUT_IMAGE, Severity.WARNING, message, names=tuple(orphans)))
    return texts, findings


def _stem(label: str) -> str:
    return str(PurePosixPath(label).with_suffix(""))
