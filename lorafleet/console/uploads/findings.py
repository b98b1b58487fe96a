"""Findings about stored files, told by what the person called them: no path of the console's disk leaves it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from lorafleet.console.uploads.state import Entry
from lorafleet.datasets.findings import Finding


def relabelled(findings: Iterable[Finding], folder: Path, entries: Sequence[Entry]) -> list[Finding]:
    """The findings with labels in the place of stored files' paths and names."""
    labels = {entry.file: entry.label for entry in entries}
    return [
        replace(
            finding,
            where=_relabelled(finding.where.removeprefix(f"{folder}/"), labels) if finding.where != str(folder) else "",
            names=tuple(_relabelled(name, labels) for name in finding.names),
        )
        for finding in findings
    ]


def _relabelled(place: str, labels: dict[str, str]) -> str:
    """``file`` or ``file:line``."""
    file, colon, line = place.rpartition(":") if place not in labels else (place, "", "")
    return f"{labels.get(file, file)}{colon}{line}"
