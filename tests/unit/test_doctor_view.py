from io import StringIO

from rich.console import Console

from lorafleet.contracts.checkup import CheckResult, SetupCheck
from lorafleet.doctor import show


def test_the_table_names_every_check_and_hints_only_at_what_is_wrong() -> None:
    checks = [
        SetupCheck("fine", CheckResult.OK, "[well]", "unseen"),
        SetupCheck("slow", CheckResult.WARN, "late", "wait for [it]"),
        SetupCheck("broken", CheckResult.FAIL, "odd", "mend it so"),
        SetupCheck("absent", CheckResult.SKIP, "no GPU", "unseen"),
    ]
    out = StringIO()
    show(checks, "this [machine] cannot train: 1 failed", Console(file=out, width=80))
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert lines[:5] == [
        ["Check", "Result", "Found"],
        ["fine", "ok", "[well]"],
        ["slow", "warn", "late"],
        ["broken", "fail", "odd"],
        ["absent", "skip", "no", "GPU"],
    ]
    assert out.getvalue().splitlines()[5:] == [
        "slow: wait for [it]",
        "broken: mend it so",
        "this [machine] cannot train: 1 failed",
    ]
