from pathlib import Path

from pipelines.lint import RULES
from pipelines.lint.page import render

PAGE = Path(__file__).parents[3] / "docs" / "release-rules.md"


def test_the_committed_page_is_the_generated_one() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run: make docs"


def test_every_rule_is_on_it_with_its_way_out() -> None:
    rows = PAGE.read_text(encoding="utf-8").splitlines()
    for rule in RULES:
        assert sum(row.startswith(f"| {rule.code} |") for row in rows) == 1
        assert rule.way_out
