import io

from rich.console import Console

from lorafleet.datasets.checks import CheckReport
from lorafleet.datasets.findings import Code, Finding, Severity
from lorafleet.datasets.report_view import print_report

REPORT = CheckReport(
    (
        Finding(Code.BAD_ROW, Severity.ERROR, "an error", "f:1"),
        *(Finding(Code.TWO_CAPTIONS, Severity.WARNING, f"[red]number {number}[/red]", "f") for number in range(30)),
        Finding(Code.NOT_UTF8, Severity.NOTE, "a note"),
    ),
    {"512x512": 30, "640x384": 1},
    31,
)


def shown(strict: bool) -> str:
    out = io.StringIO()
    print_report(REPORT, Console(file=out, width=80), noun="image", strict=strict)
    return out.getvalue()


def test_what_does_not_forbid_training_is_shown_as_it_is_and_abridged() -> None:
    text = shown(strict=False)
    assert text.startswith("31 images, 1 error, 30 warnings\n")
    assert "640x384   1  #" in text
    assert "an error" not in text
    assert "warning: f: D206 [red]number 0[/red]\n" in text
    assert text.count("[red]number") == 20
    assert "D206 and 10 more of this kind" in text
    assert "note: D003 a note" in text


def test_strict_leaves_the_warnings_to_the_errors() -> None:
    text = shown(strict=True)
    assert text.startswith("31 images, 31 errors, 0 warnings\n")
    assert "[red]number" not in text
