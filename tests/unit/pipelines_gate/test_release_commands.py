"""``lorafleet release`` as it is typed, on the example fleet, against a Gate and a console on loopback."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gate_samples import DIGEST, FLEET, ROOT, SECRET, Called, compact, one
from gate_samples import FLEET_APPLICATION as APPLICATION

from lorafleet.contracts.outcomes import ExitCode
from tests.fake_gate.gate import FakeGate


def spec_without(folder: Path, key: str) -> Path:
    lines = [line for line in FLEET.read_text().splitlines(keepends=True) if not line.startswith(f"{key}:")]
    (folder / "fleet.yaml").write_text("".join(lines))
    shutil.copytree(ROOT / "sites", folder / "sites", dirs_exist_ok=True)
    return folder / "fleet.yaml"


# Offline


def test_help_needs_nothing_heavy() -> None:
    heavy = ("requests", "rich", "torch", "pipelines.gate")
    command = "from lorafleet.cli import main; main(['release', 'plan', '--help'])"
    program = f"import sys; {command}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    assert done.stdout.endswith("[]\n")
    assert "wrong usage is 1 here" in " ".join(done.stdout.split())


def test_render_writes_a_file_for_each_pipeline_and_the_same_ones_again(release: Called, tmp_path: Path) -> None:
    code, out, _ = release("render", FLEET, "--out", tmp_path / "one")
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert code == 0
    assert names == {
        "application.json",
        *(f"{name}.{kind}" for name in ("release", "rollback") for kind in ("json", "mmd", "svg")),
    }
    assert {Path(line.removeprefix("wrote ")).name for line in out.splitlines()} == names
    release("render", FLEET, "--out", tmp_path / "two")
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_render_without_a_folder_prints_json(release: Called) -> None:
    _, out, _ = release("render", FLEET)
    assert [pipeline["name"] for pipeline in json.loads(out)["pipelines"]] == ["release", "rollback"]


def test_the_compact_form_is_refused_with_its_tag_and_the_way_out(release: Called, tmp_path: Path) -> None:
    code, _, lines = release("render", compact(tmp_path), "--sites", ROOT / "sites")
    assert code == ExitCode.CONFIG
    assert "'lora-scripts:latest' may change at any time" in lines[0]
    assert "--digest sha256:…; 'crane digest lora-scripts:latest'" in lines[-1]


def test_the_compact_form_compiles_as_it_stands_with_its_digest(release: Called, tmp_path: Path) -> None:
    arguments = (compact(tmp_path), "--sites", ROOT / "sites", "--digest", DIGEST, "--console", "https://fleet.example.org")
    code, out, _ = release("render", *arguments)
    assert code == 0
    assert DIGEST in out
    assert "lora-scripts:latest" not in out
    assert release("lint", *arguments)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["render", "nowhere.yaml"], ExitCode.NO_INPUT, "nowhere.yaml: cannot be read: No such file or directory (check the path)"),
        (["render", FLEET, "--digest", "sha256:12"], ExitCode.USAGE, "--digest: 'sha256:12' is no digest"),
        (["render", FLEET, "--console", "http://10.0.0.1"], ExitCode.USAGE, "--console: this is no https:// address"),
        (["plan", FLEET, "--gate", "http://gate.example.org"], ExitCode.FAILED, "--gate: this is no https:// address"),
        (["push", FLEET, "--gate", "https://me:s3cr3t@gate.example.org"], ExitCode.USAGE, "--gate: an address holds a host"),
        (["push", FLEET, "--plan", "plan.json"], ExitCode.USAGE, "a plan says already what is pushed"),
        (["push", "--plan", "nowhere.json"], ExitCode.NO_INPUT, "nowhere.json: cannot be read"),
        (["push", "--plan", FLEET], ExitCode.CONFIG, "fleet.yaml: this is no plan (lorafleet release plan --out FILE writes one)"),
        (["plan", FLEET, "--bogus"], ExitCode.FAILED, "No such option: --bogus"),
        (["drift", "a", "b"], ExitCode.FAILED, "unexpected extra argument"),
        (["push", "--bogus"], ExitCode.USAGE, "No such option: --bogus"),
        (["run", FLEET], ExitCode.USAGE, "a release is one image by its digest, and none is named"),
        (["watch"], ExitCode.USAGE, "Missing argument 'EXECUTION'"),
        (["watch", "01E", "--spec", "nowhere.yaml"], ExitCode.NO_INPUT, "nowhere.yaml: cannot be read"),
        (["lint", "nowhere.json"], ExitCode.NO_INPUT, "nowhere.json: cannot be read"),
    ],
)
def test_what_is_wrong_offline_is_said_in_lines(arguments: list[Any], code: int, words: str, release: Called) -> None:
    got, _, lines = release(*arguments)
    assert got == code
    assert all(line.startswith("error: ") for line in lines)
    assert words in lines[0]
    assert "s3cr3t" not in lines[0]


def test_missing_sites_are_named_each(release: Called, tmp_path: Path) -> None:
    code, _, lines = release("plan", FLEET, "--sites", tmp_path)
    assert code == ExitCode.NO_INPUT
    assert [line.split("/")[-1].split(":")[0] for line in lines] == [
        "aws-eu-central-1.json",
        "gcp-us-west1.json",
        "azure-westeurope.json",
    ]
    assert lines[0].endswith(
        "the facts of site 'aws-eu-central-1' are missing (lorafleet site export aws-eu-central-1, or --sites DIR)"
    )


def test_a_site_in_another_ones_file_is_told(release: Called, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "sites", tmp_path, dirs_exist_ok=True)
    shutil.copy(tmp_path / "local.json", tmp_path / "gcp-us-west1.json")
    code, _, lines = release("render", FLEET, "--sites", tmp_path)
    assert code == ExitCode.CONFIG
    assert "not 'gcp-us-west1' (export it again)" in one(lines)


def test_a_bad_spec_is_told_with_its_line(release: Called, tmp_path: Path) -> None:
    path = spec_without(tmp_path, "home")
    path.write_text(path.read_text() + "hom: aws-eu-central-1\n")
    code, _, lines = release("plan", path)
    assert code == ExitCode.CONFIG
    assert any("unknown key 'hom' (did you mean 'home'?)" in line for line in lines)


def test_a_spec_without_gate_says_how_to_name_it(release: Called, tmp_path: Path) -> None:
    code, _, lines = release("plan", spec_without(tmp_path, "gate"))
    assert code == ExitCode.CONFIG
    assert one(lines).endswith("it is not said where Gate is (add gate.url to the spec, or give --gate URL or LORAFLEET_GATE_URL)")


def test_rendered_files_are_linted_too(release: Called, tmp_path: Path) -> None:
    release("render", FLEET, "--out", tmp_path)
    rendered = tmp_path / "release.json"
    assert release("lint", rendered, tmp_path / "rollback.json")[0] == 0
    broken = json.loads(rendered.read_text())
    broken["stages"][1]["requisiteStageRefIds"] = ["no-such-stage"]
    rendered.write_text(json.dumps(broken))
    code, out, lines = release("lint", rendered, "--json")
    assert code == ExitCode.CONFIG
    assert "no-such-stage" in out
    assert lines
    assert all(line.startswith("error: release") for line in lines)


# Against Gate


def test_plan_push_plan_and_drift_go_together(release: Called, at_gate: FakeGate, tmp_path: Path) -> None:
    code, out, _ = release("plan", FLEET)
    assert code == 2
    assert "plan: 2 to create, 0 to change, 0 to delete, 0 unchanged" in out
    assert release("drift", FLEET)[0] == 2
    code, out, _ = release("push", FLEET)
    assert code == 0
    assert sorted(out.splitlines()) == [f"created {APPLICATION}/release", f"created {APPLICATION}/rollback"]
    assert APPLICATION in at_gate.applications
    assert release("plan", FLEET)[0] == 0
    assert release("drift", FLEET)[0] == 0
    at_gate.calls.clear()
    assert release("push", FLEET)[:2] == (0, "nothing to change: Gate holds what the spec says\n")
    assert all(call.method == "GET" for call in at_gate.calls)


def test_the_webhooks_secret_is_in_gate_and_nowhere_else(release: Called, at_gate: FakeGate, tmp_path: Path) -> None:
    release("render", FLEET, "--out", tmp_path)
    release("plan", FLEET, "--out", tmp_path / "plan.json")
    assert all(SECRET not in path.read_text() for path in tmp_path.iterdir())
    assert release("push", "--plan", tmp_path / "plan.json")[0] == 0
    assert SECRET in json.dumps(at_gate.named("rollback", APPLICATION)["triggers"])
    assert SECRET not in json.dumps(at_gate.named("release", APPLICATION))


def test_a_push_without_the_webhooks_secret_sends_nothing(
    release: Called, at_gate: FakeGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LORAFLEET_WEBHOOK_SECRET")
    code, _, lines = release("push", FLEET)
    assert code == ExitCode.CONFIG
    assert "set LORAFLEET_WEBHOOK_SECRET or LORAFLEET_WEBHOOK_SECRET_FILE" in one(lines)
    assert all(call.method == "GET" for call in at_gate.calls)


def test_a_saved_plan_is_refused_once_somebody_changed_its_pipeline(release: Called, at_gate: FakeGate, tmp_path: Path) -> None:
    release("push", FLEET)
    for pipeline in ("release", "rollback"):
        at_gate.put({**at_gate.named(pipeline, APPLICATION), "description": "old"})
    file = tmp_path / "plan.json"
    assert release("plan", FLEET, "--out", file)[0] == 2
    at_gate.put({**at_gate.named("release", APPLICATION), "description": "by hand"}, "alice")
    code, out, lines = release("push", "--plan", file)
    assert code == ExitCode.FAILED
    assert one(lines) == "error: 'release' was changed in Gate since the plan was made, last by alice (make a new plan)"
    assert out == f"updated {APPLICATION}/rollback\n"
    assert at_gate.named("release", APPLICATION)["description"] == "by hand"


def test_a_saved_plan_is_carried_out_twice_without_harm(release: Called, at_gate: FakeGate, tmp_path: Path) -> None:
    release("plan", FLEET, "--out", tmp_path / "plan.json")
    assert release("push", "--plan", tmp_path / "plan.json")[0] == 0
    saves = len(at_gate.called("POST /pipelines"))
    assert release("push", "--plan", tmp_path / "plan.json")[0] == 0
    assert len(at_gate.called("POST /pipelines")) == saves


def test_drift_says_what_and_who_and_prune_takes_extras_away(release: Called, at_gate: FakeGate) -> None:
    release("push", FLEET)
    at_gate.put({**at_gate.named("release", APPLICATION), "disabled": True}, "alice")
    at_gate.put({**at_gate.named("rollback", APPLICATION), "id": "copy", "name": "rollback-copy"}, "bob")
    code, out, _ = release("drift", FLEET, "--json")
    found = json.loads(out)
    assert (code, found["drift"]) == (2, True)
    states = {pipeline["name"]: (pipeline["state"], pipeline["by"]) for pipeline in found["pipelines"]}
    assert states == {"release": ("changed", "alice"), "rollback": ("same", "ci"), "rollback-copy": ("extra", "bob")}
    assert found["pipelines"][0]["differences"] == [{"path": "disabled", "kind": "removed", "before": True}]
    _, out, _ = release("plan", FLEET)
    assert "! pipeline rollback-copy: has our tag and is not in the spec; --prune deletes it" in out
    release("push", FLEET, "--prune")
    assert release("drift", FLEET)[0] == 0


def test_what_is_not_ours_is_left_alone(release: Called, at_gate: FakeGate) -> None:
    at_gate.put({"application": APPLICATION, "name": "Release", "stages": []}, "alice")
    before = json.dumps(at_gate.pipelines)
    for command in ("plan", "push", "drift"):
        code, _, lines = release(command, FLEET)
        assert code == ExitCode.FAILED
        assert "Gate holds a pipeline 'Release' without our tag; it is not touched" in one(lines)
    assert json.dumps(at_gate.pipelines) == before


def test_plan_as_json(release: Called, at_gate: FakeGate) -> None:
    code, out, _ = release("plan", FLEET, "--json")
    found = json.loads(out)
    assert code == 2
    assert found["application"] == {"name": APPLICATION, "action": "create"}
    assert [(one["name"], one["action"]) for one in found["pipelines"]] == [("release", "create"), ("rollback", "create")]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (302, "sends to a login page at login.example.org"),
        (401, "Gate wants credentials (401)"),
        (403, "Gate does not allow this (403): Access is denied"),
    ],
)
def test_a_gate_that_does_not_let_us_in_is_one_line(status: int, words: str, release: Called, at_gate: FakeGate) -> None:
    at_gate.accepts = lambda _headers: status
    for command in ("plan", "push", "drift"):
        code, _, lines = release(command, FLEET)
        assert code == ExitCode.FAILED
        assert words in one(lines)


def test_an_unreachable_gate_is_one_line_and_code_69(release: Called, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ("plan", "push", "drift"):
        code, _, lines = release(command, FLEET, "--gate", "http://127.0.0.1:9")
        assert code == ExitCode.UNAVAILABLE
        assert "cannot be reached: connection refused" in one(lines)


def test_a_plan_that_leads_elsewhere_is_refused(
    release: Called, at_gate: FakeGate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "plan.json"
    release("plan", FLEET, "--out", file)
    file.write_text(file.read_text().replace(at_gate.url, "http://evil.example.org"))
    monkeypatch.delenv("LORAFLEET_GATE_URL")
    code, _, lines = release("push", "--plan", file)
    assert code == ExitCode.CONFIG
    assert "plan.json:3: gate: this is no https:// address" in one(lines)


def test_a_folder_that_cannot_be_written_is_one_line(release: Called, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, lines = release("render", FLEET, "--out", tmp_path / "file")
    assert code == ExitCode.STORAGE
    assert "cannot be written" in one(lines)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
