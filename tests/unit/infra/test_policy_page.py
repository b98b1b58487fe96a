from pathlib import Path

import pytest

from infra.policy.page import main, render
from infra.policy.rules import RULES
from lorafleet.contracts.outcomes import ExitCode

PAGE = Path(__file__).parents[3] / "docs" / "infra-policies.md"


def test_the_committed_page_is_the_generated_one() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run: make docs"


def test_every_rule_is_on_it_with_its_way_out() -> None:
    rows = PAGE.read_text(encoding="utf-8").splitlines()
    for rule in RULES:
        (row,) = [each for each in rows if each.startswith(f"| {rule.code} |")]
        assert rule.mend in row


def test_ci_writes_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert main([str(tmp_path / "page.md")]) == ExitCode.USAGE
    monkeypatch.delenv("CI")
    assert main([str(tmp_path / "page.md")]) == ExitCode.FINISHED
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == render()
