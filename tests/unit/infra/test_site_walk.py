"""Both stacks of a site in their order. Pulumi's command is played by a script: what it was asked is written down, one line a call."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from recorded_program import ROOT

from lorafleet.cli import main

CLOUD, INCLUSTER = "aws-eu-central-1", "aws-eu-central-1-incluster"

PULUMI = """#!{python}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
words = [word for word in sys.argv[1:] if word != "--non-interactive"]
play = json.loads((here / "play.json").read_text())
if words == ["version"]:
    print("v3.200.0"); raise SystemExit
stack = words[words.index("--stack") + 1] if "--stack" in words else words[-1]
verb = " ".join(words[:2]) if words[0] == "stack" else words[0]
with (here / "asked").open("a") as asked:
    asked.write(verb + " " + stack + " " + " ".join(words[1:]) + "\\n")
if verb == "stack ls":
    print(json.dumps([{{"name": name, "current": False, "resourceCount": count}} for name, count in play["stacks"].items()]))
elif verb == "stack select" and stack not in play["stacks"]:
    print(f"error: no stack named '{{stack}}' found", file=sys.stderr); raise SystemExit(255)
elif verb == "stack export":
    print(json.dumps({{"version": 3, "deployment": {{"resources": play["resources"].get(stack, [])}}}}))
elif verb == "stack output":
    print("{{}}")
elif verb == "stack history":
    print(json.dumps([{{"kind": "update", "startTime": "2026-11-24T00:00:00.000Z", "message": "", "environment": {{}},
                        "config": {{}}, "result": "succeeded"}}]))
elif verb in ("up", "preview", "destroy", "refresh"):
    events = []
    if stack in play["fails"]:
        events.append({{"diagnosticEvent": {{"message": "AccessDenied", "severity": "error", "color": "never", "urn": "a::b"}}}})
    events.append({{"summaryEvent": {{"maybeCorrupt": False, "durationSeconds": 1, "resourceChanges": {{"create": play["changes"]}},
                                     "PolicyPacks": {{}}}}}})
    events.append({{"cancelEvent": {{}}}})
    with open(words[words.index("--event-log") + 1], "a") as log:
        for number, event in enumerate(events):
            log.write(json.dumps({{"sequence": number, "timestamp": 1, **event}}) + "\\n")
    if stack in play["fails"]:
        raise SystemExit(1)
"""


class Played:
    """A project and the script; ``asked`` are the operations so far, each with its stack."""

    def __init__(self, folder: Path) -> None:
        self.tools, self.project = folder / "tools", folder / "project"
        self.tools.mkdir()
        self.project.mkdir()
        for path in ROOT.glob("Pulumi*.yaml"):
            shutil.copy(path, self.project)
        (self.project / "infra" / "policy").mkdir(parents=True)
        (self.project / "infra" / "policy" / "PulumiPolicy.yaml").touch()
        for name in ("pulumi", "aws"):
            (self.tools / name).write_text(PULUMI.format(python=sys.executable))
            (self.tools / name).chmod(0o755)
        self.play()

    def play(self, **changes: Any) -> None:
        told = {"stacks": {CLOUD: 5, INCLUSTER: 5}, "fails": [], "changes": 3, "resources": {}, **changes}
        (self.tools / "play.json").write_text(json.dumps(told))
        (self.tools / "asked").write_text("")

    def asked(self, *verbs: str) -> list[tuple[str, str]]:
        lines = [line.split() for line in (self.tools / "asked").read_text().splitlines()]
        return [(line[0], line[1]) for line in lines if line[0] in (verbs or ("up", "preview", "destroy", "refresh"))]

    def words(self) -> str:
        return (self.tools / "asked").read_text()

    def run(self, *words: str) -> int:
        return main(["site", *words, "--project", str(self.project)])


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    found = Played(tmp_path)
    monkeypatch.setenv("PATH", f"{found.tools}{os.pathsep}{os.environ['PATH']}")
    return found


def test_up_is_cloud_then_cluster_each_under_the_policy_pack(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    assert played.run("up", CLOUD, "--yes") == 0
    assert played.asked() == [("up", CLOUD), ("up", INCLUSTER)]
    assert played.words().count(f"--policy-pack {played.project / 'infra' / 'policy'}") == 2
    assert f"{CLOUD} is up, 6 resources changed" in capsys.readouterr().out


def test_a_policy_pack_can_be_left_out(played: Played) -> None:
    assert played.run("up", CLOUD, "--yes", "--no-policy-pack") == 0
    assert "--policy-pack" not in played.words()


def test_the_first_stack_that_fails_stops_the_walk_and_says_how_to_go_on(
    played: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    played.play(fails=[CLOUD])
    assert played.run("up", CLOUD, "--yes") == 1
    assert played.asked() == [("up", CLOUD)]
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"error: {CLOUD}: b: AccessDenied",
        f"error: up of {CLOUD} stopped at {CLOUD}; {INCLUSTER} was not begun (lorafleet site up {CLOUD} goes on)",
    ]


def test_destroy_is_the_other_way_round(played: Played) -> None:
    assert played.run("destroy", CLOUD, "--yes") == 0
    assert played.asked() == [("destroy", INCLUSTER), ("destroy", CLOUD)]
    assert "--run-program" not in played.words()


def test_what_the_cloud_protects_keeps_the_cluster_from_being_emptied(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    bucket = {"type": "aws:s3/bucket:Bucket", "urn": "urn:pulumi:s::p::aws:s3/bucket:Bucket::store", "protect": True}
    played.play(resources={CLOUD: [bucket]})
    assert played.run("destroy", CLOUD, "--yes") == 78
    assert played.asked() == []
    said = capsys.readouterr().err
    assert "aws:s3/bucket:Bucket store" in said
    # Rule POL131 of the policy pack stops an up that takes protection off.
    assert f"lorafleet site up --no-policy-pack {CLOUD}" in said
    assert "--show-secrets" not in played.words()


def test_a_stack_that_is_not_there_is_not_destroyed(played: Played) -> None:
    played.play(stacks={CLOUD: 5})
    assert played.run("destroy", CLOUD, "--yes") == 0
    assert played.asked() == [("destroy", CLOUD)]


def test_preview_before_the_cloud_is_there_tells_what_it_cannot_tell(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    for stacks in ({}, {CLOUD: 0}):
        played.play(stacks=stacks)
        assert played.run("preview", CLOUD) == 2
        assert played.asked() == [("preview", CLOUD)]
        assert f"{INCLUSTER}: cannot be told before {CLOUD} is up" in capsys.readouterr().out


def test_preview_exits_as_a_plan_does(played: Played) -> None:
    assert played.run("preview", CLOUD) == 2
    played.play(changes=0)
    assert played.run("preview", CLOUD) == 0
    played.play(fails=[CLOUD])
    assert played.run("preview", CLOUD) == 1


def test_a_stack_that_is_new_is_made_by_up_only_where_it_is_asked_for(played: Played) -> None:
    played.play(stacks={})
    assert played.run("refresh", CLOUD, "--yes") == 69
    assert played.asked() == []
    assert played.run("up", CLOUD, "--yes") == 0
    assert f"stack init {CLOUD}" in played.words()


def test_json_is_one_event_a_line(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    assert played.run("up", CLOUD, "--yes", "--json") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["event"], each["stack"]) for each in events] == [
        ("stack", CLOUD),
        ("summary", CLOUD),
        ("stack", INCLUSTER),
        ("summary", INCLUSTER),
        ("note", INCLUSTER),
    ]


def test_without_yes_a_person_is_asked_about_each_stack(
    played: Played, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter([True, False])
    asked: list[str] = []

    def confirm(question: str) -> bool:
        asked.append(question)
        return next(answers)

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", confirm)
    assert played.run("up", CLOUD) == 130
    assert asked == [f"Change 3 resources of {CLOUD}?", f"Change 3 resources of {INCLUSTER}?"]
    assert played.asked() == [("preview", CLOUD), ("up", CLOUD), ("preview", INCLUSTER)]
    assert f"{INCLUSTER} was not changed" in capsys.readouterr().err


def test_destroy_wants_the_sites_name(played: Played, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", lambda question: "yes")
    assert played.run("destroy", CLOUD) == 130
    assert played.asked() == []
    assert "nothing was deleted" in capsys.readouterr().err
    monkeypatch.setattr("typer.prompt", lambda question: CLOUD)
    assert played.run("destroy", CLOUD) == 0
