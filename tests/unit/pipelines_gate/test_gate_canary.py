"""Kayenta's canary config in Gate. The server is a stand-in of Gate's; no Kayenta runs here."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from gate_samples import FLEET, FLEET_APPLICATION, ROOT, Called, one

from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import LorafleetError
from pipelines.gate.canary_plan import config_fingerprint, plan_config
from pipelines.gate.canary_saving import apply_config, find_config
from pipelines.gate.client import Gate
from pipelines.gate.plan import Action, ConfigChange, NotOurs
from pipelines.gate.saving import NotSaved, Stale
from pipelines.model.canary import AnalysedMetric, CanaryConfig
from pipelines.rest import ServiceError
from tests.fake_gate.gate import FakeGate, Fault

CONFIG = CanaryConfig(
    id="c1",
    name="lorafleet-lora-trainer",
    application="lora-trainer",
    account="canary-results",
    metrics=(
        AnalysedMetric(
            name="errors", template='x{release${scope},site="${location}"}', direction="increase", weight=60, critical=True
        ),
        AnalysedMetric(name="lost", template="y", direction="increase", weight=40, critical=False),
    ),
)


def planned(client: Gate, wanted: CanaryConfig = CONFIG) -> ConfigChange:
    return plan_config(wanted, find_config(client, wanted.application, wanted.account, wanted.id, wanted.name))


def carry_out(client: Gate, change: ConfigChange) -> None:
    apply_config(client, CONFIG.application, change)


def edited(gate: FakeGate, **changes: Any) -> None:
    """Somebody else's change in the web page."""
    (held,) = gate.canary_configs.values()
    gate.put_canary_config({**held, **changes})


def writes(gate: FakeGate) -> list[str]:
    return [call.line for call in gate.calls if call.method in ("POST", "PUT")]


def test_it_is_made_then_kept_then_changed(gate: FakeGate, client: Gate) -> None:
    assert planned(client).action is Action.CREATE
    carry_out(client, planned(client))
    assert planned(client).action is Action.KEEP
    carry_out(client, planned(client))
    edited(gate, classifier={"groupWeights": {"errors": 50, "lost": 50}})
    change = planned(client)
    assert change.action is Action.UPDATE
    assert {difference.place: (difference.before, difference.after) for difference in change.differences} == {
        "classifier.groupWeights.errors": (50.0, 60.0),
        "classifier.groupWeights.lost": (50.0, 40.0),
    }
    carry_out(client, change)
    assert planned(client).action is Action.KEEP
    assert writes(gate) == ["POST /v2/canaryConfig", "PUT /v2/canaryConfig/c1"]
    assert all(call.query["configurationAccountName"] == ["canary-results"] for call in gate.calls)


def test_the_id_that_gate_knows_its_name_by_is_used(gate: FakeGate, client: Gate) -> None:
    gate.put_canary_config({**CONFIG.to_json(), "id": "older", "templates": {"t": "x"}})
    change = planned(client)
    assert (change.action, change.id) == (Action.UPDATE, "older")
    carry_out(client, change)
    assert list(gate.canary_configs) == ["older"]
    assert gate.canary_configs["older"]["templates"] == {}


def test_what_is_not_ours_is_not_touched(gate: FakeGate, client: Gate) -> None:
    gate.put_canary_config({**CONFIG.to_json(), "description": "my own"})
    with pytest.raises(NotOurs, match=r"'lorafleet-lora-trainer' that is not ours; it is not touched"):
        planned(client)
    assert not writes(gate)


def test_a_config_of_another_application_is_another(gate: FakeGate, client: Gate) -> None:
    gate.put_canary_config({**CONFIG.to_json(), "id": "c2", "applications": ["other"]})
    assert planned(client).action is Action.CREATE


@pytest.mark.parametrize("before", ["nothing", "something"])
def test_someone_elses_change_since_the_plan_is_refused(gate: FakeGate, client: Gate, before: str) -> None:
    if before == "something":
        gate.put_canary_config({**CONFIG.to_json(), "templates": {"t": "x"}})
        change = planned(client)
        edited(gate, templates={"t": "y"})
    else:
        change = planned(client)
        gate.put_canary_config({**CONFIG.to_json(), "templates": {"t": "x"}})
    with pytest.raises(Stale, match="make a new plan"):
        carry_out(client, change)
    assert not writes(gate)


def test_a_save_whose_answer_is_lost_is_read_back(gate: FakeGate, client: Gate) -> None:
    gate.faults.append(Fault("POST /v2/canaryConfig", "lose"))
    carry_out(client, planned(client))
    assert writes(gate) == ["POST /v2/canaryConfig"]
    assert planned(client).action is Action.KEEP


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (Fault("POST /v2/.*", "drop"), ServiceError, "cannot be reached"),
        (Fault("POST /v2/.*", status=503), ServiceError, "made to fail"),
        (Fault("POST /v2/.*", status=400), NotSaved, "Gate said: made to fail"),
        (Fault("POST /v2/.*", status=403), ServiceError, "does not allow this"),
        (Fault("POST /v2/.*", status=200, body="{}"), NotSaved, "but shows another one"),
    ],
)
def test_what_is_not_saved_is_said(gate: FakeGate, client: Gate, fault: Fault, error: type[LorafleetError], words: str) -> None:
    gate.faults.append(fault)
    with pytest.raises(error, match=words):
        carry_out(client, planned(client))
    assert not gate.canary_configs


def test_what_kayenta_adds_is_no_difference(gate: FakeGate) -> None:
    gate.put_canary_config(CONFIG.to_json())
    (held,) = gate.canary_configs.values()
    assert held != CONFIG.to_json()
    assert config_fingerprint(held) == config_fingerprint(CONFIG.to_json())


# As it is typed


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    text = FLEET.read_text().replace("  scopes: [aws, gcp, azure]\n", "  canary: {storageAccount: canary-results}\n")
    assert "canary: {" in text
    (tmp_path / "fleet.yaml").write_text(text)
    shutil.copytree(ROOT / "sites", tmp_path / "sites")
    return tmp_path / "fleet.yaml"


def test_it_is_rendered_as_a_file_of_its_own(release: Called, spec: Path) -> None:
    assert release("lint", spec, "--strict")[0] == 0
    code, out, _ = release("render", spec, "--out", spec.parent / "out")
    assert code == 0
    assert "canary-config.json" in out
    config = json.loads((spec.parent / "out" / "canary-config.json").read_text())
    pipeline = (spec.parent / "out" / "release.json").read_text()
    assert f'"canaryConfigId": "{config["id"]}"' in pipeline
    assert "${scope}" not in pipeline
    assert json.loads(release("render", spec)[1])["canaryConfig"] == config


def test_plan_push_and_drift_have_it(release: Called, spec: Path, at_gate: FakeGate) -> None:
    code, out, _ = release("plan", spec)
    assert code == 2
    assert f"+ canary config lorafleet-{FLEET_APPLICATION}" in out
    assert "plan: 3 to create" in out
    code, out, _ = release("push", spec)
    assert (code, out.splitlines()[0]) == (0, f"created canary config lorafleet-{FLEET_APPLICATION}")
    first = [call.line for call in at_gate.calls if call.method == "POST"]
    assert first[:3] == ["POST /tasks", "POST /v2/canaryConfig", "POST /pipelines"]
    assert (release("plan", spec)[0], release("drift", spec)[0], release("push", spec)[0]) == (0, 0, 0)
    assert len([call for call in at_gate.calls if call.method == "POST"]) == len(first)
    edited(at_gate, judge={"name": "dredd-v1.0"})
    code, out, _ = release("drift", spec)
    assert code == 2
    assert f"changed  canary config/lorafleet-{FLEET_APPLICATION}" in out
    assert "judge.name" in out
    told = json.loads(release("plan", spec, "--json")[1])["canaryConfig"]
    assert (told["action"], [place["path"] for place in told["differences"]]) == ("update", ["judge.name"])
    assert json.loads(release("push", spec, "--json")[1])["done"] == [
        {"canaryConfig": f"lorafleet-{FLEET_APPLICATION}", "action": "update"}
    ]


def test_pipelines_refer_to_the_id_that_gate_knows(release: Called, spec: Path, at_gate: FakeGate) -> None:
    config = json.loads(release("render", spec)[1])["canaryConfig"]
    at_gate.put_canary_config({**config, "id": "older"})
    assert release("push", spec)[0] == 0
    stages = at_gate.named("release", FLEET_APPLICATION)["stages"]
    assert {stage["canaryConfig"]["canaryConfigId"] for stage in stages if stage["type"] == "kayentaCanary"} == {"older"}
    assert release("plan", spec)[0] == 0


def test_a_saved_plan_carries_it(release: Called, spec: Path, at_gate: FakeGate) -> None:
    plan = spec.parent / "plan.json"
    release("plan", spec, "--out", plan)
    assert release("push", "--plan", plan)[0] == 0
    assert len(at_gate.canary_configs) == 1
    assert release("plan", spec)[0] == 0


def test_nothing_runs_while_gate_holds_another_one(release: Called, spec: Path, at_gate: FakeGate) -> None:
    release("push", spec)
    edited(at_gate, judge={"name": "dredd-v1.0"})
    code, _, lines = release("run", spec, "--digest", f"sha256:{'a' * 64}", "--release", "r1")
    assert code == ExitCode.CONFIG
    assert f"Gate does not hold canary config lorafleet-{FLEET_APPLICATION}" in one(lines)


def test_a_gate_without_kayenta_is_said_in_one_line(release: Called, spec: Path, at_gate: FakeGate) -> None:
    at_gate.has_kayenta = False
    _, _, lines = release("push", spec)
    assert one(lines).startswith("error: Gate has no canary configs (404), and monitor.canary asks for an analysis")
    assert not [call for call in at_gate.calls if call.method != "GET"]


def test_kayenta_is_not_asked_where_no_spec_names_it(release: Called, at_gate: FakeGate) -> None:
    at_gate.has_kayenta = False
    assert release("push", FLEET)[0] == 0
    assert not at_gate.called(".* /v2/.*")
