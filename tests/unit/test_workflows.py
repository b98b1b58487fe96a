"""The workflows for GitHub Actions: valid, safe by zizmor's audits, and true to our own command line."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from lorafleet.cli import app

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yaml"))
each_workflow = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    for job in yaml.safe_load(workflow.read_text())["jobs"].values():
        yield from job["steps"]


def commands(workflow: Path) -> list[list[str]]:
    """Each call of ours, in words, up to the end of its line."""
    script = "\n".join(step.get("run", "") for step in steps(workflow))
    return [found.split() for found in re.findall(r"(?:bin/|-m )lorafleet ([^\n|>;]+)", script)]


def run(*words: str) -> None:
    done = subprocess.run([str(Path(sys.executable).with_name(words[0])), *words[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_they_fit_githubs_schema() -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS))


def test_zizmor_finds_nothing() -> None:
    run("zizmor", "--offline", "--no-progress", "--persona", "pedantic", str(ROOT / ".github"))


@each_workflow
def test_actions_are_pinned_by_commit(workflow: Path) -> None:
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    for name in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", name), name


@each_workflow
def test_what_it_calls_is_there(workflow: Path) -> None:
    called = commands(workflow)
    assert called
    for words in called:
        command: Any = typer.main.get_command(app)
        context = command.make_context("lorafleet", [], resilient_parsing=True)
        rest = list(words)
        while hasattr(command, "list_commands"):
            command = command.get_command(context, rest.pop(0))
            assert command is not None, words
            context = command.make_context(command.name, [], parent=context, resilient_parsing=True)
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options, words


def test_the_release_waits_for_a_person_and_keeps_no_cloud_key() -> None:
    release = yaml.safe_load((FOLDER / "release.yaml").read_text())
    assert release["permissions"] == {}
    assert release["jobs"]["release"]["environment"] == "release"
    granted = {name: job["permissions"] for name, job in release["jobs"].items()}
    assert granted["test"] == {"contents": "read"}
    assert [name for name, rights in granted.items() if "id-token" in rights] == ["release"]
    text = (FOLDER / "release.yaml").read_text()
    secrets = set(re.findall(r"secrets\.([A-Z_]+)", text))
    assert secrets == {"COSIGN_KEY", "COSIGN_PASSWORD", "LORAFLEET_GATE_TOKEN", "LORAFLEET_TOKEN", "LORAFLEET_WEBHOOK_SECRET"}


def test_a_cloud_that_is_away_stops_no_release_and_nothing_else_may_fail() -> None:
    may_fail = [step["name"] for workflow in WORKFLOWS for step in steps(workflow) if step.get("continue-on-error")]
    assert may_fail == [
        "Log in to AWS's registry",
        "Log in to Google's registry",
        "Log in to Azure's registry",
        "Copy to every site",
    ]


def test_nobody_is_released_unsigned_or_before_it_is_in_every_registry() -> None:
    order = [words[:2] for words in commands(FOLDER / "release.yaml")]
    assert order == [
        ["image", "compat"],
        ["image", "build"],
        ["image", "sbom"],
        ["image", "sign"],
        ["image", "mirror"],
        ["release", "push"],
        ["image", "release"],
    ]
