"""Parsing texts and tables of strangers. It runs in the decoder's process: a small file can become very large in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lorafleet.contracts.problems import DataError
from lorafleet.datasets.caption_sources import Captions, read_captions
from lorafleet.datasets.checks import CheckReport, check_texts
from lorafleet.datasets.findings import Code, Finding, Severity
from lorafleet.datasets.image_files import FolderFiles
from lorafleet.datasets.texts import TextSample, TextSet, read_text_set


def check_text_files(folder: Path, labels: Mapping[str, str], lora_rank: int) -> CheckReport:
    """Check a text set of the files that ``labels`` names; samples are called by label, findings' places by file."""
    samples: list[TextSample] = []
    findings: list[Finding] = []
    for file, label in labels.items():
        found = read_text_set(folder / file)
        samples += [replace(sample, name=label + sample.name.removeprefix(file)) for sample in found.samples]
        findings += found.findings
    return check_texts(TextSet(folder, tuple(samples), tuple(findings)), lora_rank=lora_rank)


def captions_of_table(table: Path, names: Sequence[str]) -> Captions:
    """The captions that a table has for images of these names. One that cannot be read is a finding."""
    try:
        return read_captions(table.parent, FolderFiles(tuple(names), (), (), ()), table)
    except DataError as error:
        problem = error.problems[0]
        return Captions({}, (Finding(Code.BAD_TABLE, Severity.ERROR, problem.what, problem.where, problem.hint),))


def findings_as_data(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings as plain data."""
    return [asdict(finding) for finding in findings]


def findings_of(data: Sequence[Mapping[str, Any]]) -> tuple[Finding, ...]:
    """The inverse of :func:`findings_as_data`, also after JSON."""
    return tuple(
        Finding(**{**item, "code": Code(item["code"]), "severity": Severity(item["severity"]), "names": tuple(item["names"])})
        for item in data
    )
