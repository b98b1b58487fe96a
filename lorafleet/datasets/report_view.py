"""A check's report for a person."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lorafleet.datasets.checks import CheckReport
from lorafleet.datasets.findings import Finding, Severity, abridged, counted, is_fatal

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
_BAR_WIDTH = 30


def print_report(report: CheckReport, console: Console, *, noun: str, strict: bool = False) -> None:
    """Print how many examples there are and of which shape, and the findings that do not forbid training.

    Those that do are left to :meth:`CheckReport.raise_if_bad`, so that each is said once. ``noun`` is what is counted: image, example.
    """
    fatal = sum(is_fatal(finding, strict) for finding in report.findings)
    told = [finding for finding in report.findings if not is_fatal(finding, strict)]
    warnings = sum(finding.severity is Severity.WARNING for finding in told)
    console.print(f"{counted(report.count, noun)}, {counted(fatal, 'error')}, {counted(warnings, 'warning')}", highlight=False)
    if report.histogram:
        console.print(_histogram(report))
    for finding in abridged(told):
        console.print(_line(finding), soft_wrap=True)


def _histogram(report: CheckReport) -> Table:
    most = max(report.histogram.values())
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column()
    for name, count in report.histogram.items():
        table.add_row(name, str(count), "#" * max(1, round(count / most * _BAR_WIDTH)))
    return table


def _line(finding: Finding) -> Text:
    return Text.assemble((finding.severity, _STYLES[finding.severity]), ": ", str(finding.problem))
