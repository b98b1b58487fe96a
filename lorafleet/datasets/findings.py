"""What reading or checking a data set has found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lorafleet.contracts.problems import DataError, Problem

# A broken table of thousands of rows must not bury the other problems.
_LINES_OF_A_CODE = 20


class Severity(StrEnum):
    """An error forbids training, a warning may be made to, a note never does."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Code(StrEnum):
    """Stable names of findings: D0 files and tables, D1 images, D2 captions, D3 texts, D4 how the set fits the training."""

    BAD_TABLE = "D001"
    BAD_ROW = "D002"
    NOT_UTF8 = "D003"
    UNUSED_FILE = "D004"

    NO_IMAGES = "D101"
    UNREADABLE_IMAGE = "D102"
    UNKNOWN_FORMAT = "D103"
    BAD_FILE_NAME = "D104"
    SMALL_IMAGE = "D105"
    ENLARGED_IMAGE = "D106"
    SAME_IMAGE = "D107"
    SIMILAR_IMAGES = "D108"

    NO_CAPTION = "D201"
    EMPTY_CAPTION = "D202"
    SAME_CAPTION = "D203"
    CAPTION_WITHOUT_IMAGE = "D204"
    OUTSIDE_FOLDER = "D205"
    TWO_CAPTIONS = "D206"

    NO_TEXTS = "D301"
    EMPTY_TEXT = "D302"
    SAME_TEXT = "D303"
    NO_ASSISTANT_TURN = "D304"

    HIGH_RANK = "D401"
    PARTIAL_BUCKET = "D402"


@dataclass(frozen=True)
class Finding:
    """One thing a person should know about the set.

    ``where`` is a file, ``file:line`` or folder; ``names`` lists the samples that are meant, for machines that show them.
    """

    code: Code
    severity: Severity
    message: str
    where: str = ""
    hint: str = ""
    names: tuple[str, ...] = ()

    @property
    def problem(self) -> Problem:
        """The same as an error's line; the code leads the text so that it can be looked up."""
        return Problem(f"{self.code} {self.message}", self.where, self.hint)


def listed(names: Iterable[str], limit: int = 5) -> str:
    """Names for a sentence: the first few, and how many more there are."""
    every: Sequence[str] = tuple(names)
    shown = ", ".join(every[:limit])
    return f"{shown} and {len(every) - limit} more" if len(every) > limit else shown


def counted(count: int, noun: str) -> str:
    """``1 image``, ``3 images``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def abridged(findings: Iterable[Finding]) -> list[Finding]:
    """The first findings of each code, and a line that says how many more there are."""
    kept: list[Finding] = []
    groups: dict[tuple[Code, Severity], list[Finding]] = {}
    for finding in findings:
        group = groups.setdefault((finding.code, finding.severity), [])
        group.append(finding)
        if len(group) <= _LINES_OF_A_CODE:
            kept.append(finding)
    for (code, severity), group in groups.items():
        if len(group) > _LINES_OF_A_CODE:
            kept.append(Finding(code, severity, f"and {len(group) - _LINES_OF_A_CODE} more of this kind"))
    return kept


def is_fatal(finding: Finding, strict: bool) -> bool:
    """Whether training must not start."""
    return finding.severity is Severity.ERROR or (strict and finding.severity is Severity.WARNING)


def raise_fatal(findings: Iterable[Finding], strict: bool = False) -> None:
    """Raise on errors, and with ``strict`` on warnings.

    Raises:
        DataError: with a problem for each finding; of many with one code only the first are told.
    """
    problems = [finding.problem for finding in abridged(finding for finding in findings if is_fatal(finding, strict))]
    if problems:
        raise DataError(problems)
