"""What the checks found, in the page's language: a title by code, then the check's sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lorafleet.console.web.language import Language
from lorafleet.console.web.sentences import translated
from lorafleet.datasets.findings import Code, Severity

_MOST_NAMES = 12


@dataclass(frozen=True)
class FindingLine:
    """A finding. ``tone`` is a colour's name, ``severity`` says the same in a word."""

    code: str
    title: str
    severity: str
    tone: str
    message: str
    where: str
    hint: str
    names: tuple[str, ...]
    more: int


def finding_lines(words: Language, report: Mapping[str, Any]) -> tuple[FindingLine, ...]:
    """The findings of a report, errors first, as it has them."""
    return tuple(_line(words, found) for found in report.get("findings", ()))


def verdict(words: Language, lines: Sequence[FindingLine]) -> str:
    """All of them in a sentence."""
    errors = sum(line.tone == "bad" for line in lines)
    warnings = sum(line.tone == "warn" for line in lines)
    if errors:
        return words.ngettext(
            "%(count)s error: it cannot be trained on yet.", "%(count)s errors: it cannot be trained on yet.", errors
        )
    if warnings:
        return words.ngettext(
            "Ready to train; %(count)s warning to look at.", "Ready to train; %(count)s warnings to look at.", warnings
        )
    return words.gettext("Ready to train. Nothing to complain about.")


def buckets(words: Language, report: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """How many examples each bucket, or kind of text, has."""
    return tuple((str(name).replace("x", " × "), words.number(count)) for name, count in report.get("histogram", {}).items())


def titles(words: Language) -> Mapping[Code, str]:
    """Each code in a few words."""
    return {
        Code.BAD_TABLE: words.gettext("A table cannot be read"),
        Code.BAD_ROW: words.gettext("A row of a table is wrong"),
        Code.NOT_UTF8: words.gettext("Text in an old encoding"),
        Code.UNUSED_FILE: words.gettext("A file is not used"),
        Code.NO_IMAGES: words.gettext("No pictures"),
        Code.UNREADABLE_IMAGE: words.gettext("A picture cannot be read"),
        Code.UNKNOWN_FORMAT: words.gettext("A format that is not read"),
        Code.BAD_FILE_NAME: words.gettext("A file name is no good"),
        Code.SMALL_IMAGE: words.gettext("Small pictures"),
        Code.ENLARGED_IMAGE: words.gettext("Enlarged pictures"),
        Code.SAME_IMAGE: words.gettext("The same picture twice"),
        Code.SIMILAR_IMAGES: words.gettext("Nearly the same picture"),
        Code.NO_CAPTION: words.gettext("Pictures without a caption"),
        Code.EMPTY_CAPTION: words.gettext("Empty captions"),
        Code.SAME_CAPTION: words.gettext("All captions are the same"),
        Code.CAPTION_WITHOUT_IMAGE: words.gettext("Captions without a picture"),
        Code.OUTSIDE_FOLDER: words.gettext("A name leads out of the set"),
        Code.TWO_CAPTIONS: words.gettext("Two captions for one picture"),
        Code.NO_TEXTS: words.gettext("No texts"),
        Code.EMPTY_TEXT: words.gettext("Empty texts"),
        Code.SAME_TEXT: words.gettext("The same text twice"),
        Code.NO_ASSISTANT_TURN: words.gettext("Nothing to learn from"),
        Code.HIGH_RANK: words.gettext("A high rank for few examples"),
        Code.PARTIAL_BUCKET: words.gettext("Small buckets"),
    }


def _line(words: Language, found: Mapping[str, Any]) -> FindingLine:
    code, severity = Code(found["code"]), Severity(found["severity"])
    names = tuple(found.get("names", ()))
    labels = {
        Severity.ERROR: (words.gettext("Error"), "bad"),
        Severity.WARNING: (words.gettext("Warning"), "warn"),
        Severity.NOTE: (words.gettext("Note"), "quiet"),
    }
    label, tone = labels[severity]
    return FindingLine(
        code.value, titles(words)[code], label, tone, translated(words, str(found["message"])), str(found.get("where", "")),
        translated(words, str(found.get("hint", ""))), names[:_MOST_NAMES], max(0, len(names) - _MOST_NAMES),
    )  # fmt: skip
