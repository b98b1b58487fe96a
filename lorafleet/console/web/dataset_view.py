"""What the pages about data sets show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from lorafleet.console.domain.records import DatasetRecord, VersionRecord
from lorafleet.console.web.findings_view import finding_lines, verdict
from lorafleet.console.web.language import Language
from lorafleet.console.web.rendering import who

ON_A_PAGE = 48


@dataclass(frozen=True)
class DatasetLine:
    """A data set in a list."""

    id: str
    name: str
    path: str
    kind: str
    created: str
    created_at: datetime
    size: str
    verdict: str
    tone: str
    thumbnails: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """A picture of a version. ``field`` is its caption's input."""

    name: str
    field: str
    thumbnail: str
    caption: str
    flagged: bool


@dataclass(frozen=True)
class VersionLine:
    """A version in a list."""

    version: str
    path: str
    size: str
    created: str
    created_at: datetime
    created_by: str
    current: bool
    newest: bool


@dataclass(frozen=True)
class FileLine:
    """A file of a version of texts."""

    name: str
    url: str
    size: str


CAPTION = "caption:"


def dataset_line(words: Language, record: DatasetRecord, version: VersionRecord | None, now: datetime) -> DatasetLine:
    """A data set in a list."""
    findings = finding_lines(words, version.report) if version else ()
    tones = {line.tone for line in findings}
    return DatasetLine(
        id=record.id,
        name=record.name,
        path=f"/datasets/{record.id}",
        kind=words.gettext("Pictures") if record.kind == "images" else words.gettext("Texts"),
        created=words.ago(record.created_at, now),
        created_at=record.created_at,
        size=count_text(words, record.kind, version.rows) if version else words.gettext("nothing uploaded yet"),
        verdict=verdict(words, findings) if version else "",
        tone="bad" if "bad" in tones else "warn" if "warn" in tones else "good",
        thumbnails=tuple(thumbnail(version, name) for name in image_names(version)[:4]) if version else (),
    )


def pictures(version: VersionRecord, captions: Mapping[str, str], flagged: frozenset[str], page: int) -> tuple[Picture, ...]:
    """A page of a version's pictures, in the order of their names; pages count from 1."""
    names = image_names(version)[(page - 1) * ON_A_PAGE : page * ON_A_PAGE]
    return tuple(Picture(name, CAPTION + name, thumbnail(version, name), captions.get(name, ""), name in flagged) for name in names)


def version_lines(
    words: Language, dataset: DatasetRecord, rows: Sequence[VersionRecord], current: str, now: datetime
) -> tuple[VersionLine, ...]:
    """The versions, newest first; somebody may have gone back to an older one."""
    return tuple(
        VersionLine(
            version=row.version,
            path=f"/datasets/{dataset.id}/versions/{row.version}",
            size=count_text(words, dataset.kind, row.rows),
            created=words.ago(row.created_at, now),
            created_at=row.created_at,
            created_by=who(row.created_by),
            current=row.version == current,
            newest=row.version == dataset.version,
        )
        for row in rows
    )


def files(words: Language, version: VersionRecord) -> tuple[FileLine, ...]:
    """The files of a version."""
    return tuple(
        FileLine(name, f"{address(version)}/files/{quote(name)}", words.size(item.size))
        for name, item in version.by_name.items()
        if not name.startswith(".")
    )


def image_names(version: VersionRecord) -> list[str]:
    """The names of a version's pictures."""
    return sorted(name for name in version.by_name if name.lower().endswith((".png", ".jpg", ".jpeg", ".webp", ".bmp")))


def address(version: VersionRecord) -> str:
    """A version's place in the API."""
    return f"/api/v1/datasets/{version.dataset}/versions/{version.version}"


def thumbnail(version: VersionRecord, name: str) -> str:
    """The address of a picture's thumbnail."""
    return f"/datasets/{version.dataset}/versions/{version.version}/thumbnails/{quote(name)}"


def count_text(words: Language, kind: str, rows: int) -> str:
    """``12 pictures``."""
    if kind == "images":
        return words.ngettext("%(count)s picture", "%(count)s pictures", rows)
    return words.ngettext("%(count)s text", "%(count)s texts", rows)
