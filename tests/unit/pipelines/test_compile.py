import json
from datetime import timedelta

import pytest
from fleets import DIGEST, cluster, compiled, example, fleet, sites

from lorafleet.contracts.compact import read_fleet
from lorafleet.contracts.document import parse
from lorafleet.contracts.problems import ConfigError
from lorafleet.contracts.release_api import StageStatus, Watch
from pipelines.compile import compile_fleet
from pipelines.model.pipeline import pipeline_id
from pipelines.model.stages import Poll, Role, Webhook
from pipelines.model.triggers import WEBHOOK_SECRET
from pipelines.patterns import limits

AWS, GCP = "aws-eu-central-1", "gcp-us-west1"
COMPACT = """
{"application": "lora-training-platform", "pipeline": {"stages": [
  {"type": "deploy", "clusters": [
    {"account": "aws-eu-central-1", "container": "lora-scripts:latest", "targetSize": 3, "strategy": "canary"},
    {"account": "gcp-us-west1", "container": "lora-scripts:latest", "targetSize": 2, "strategy": "bluegreen"}]},
  {"type": "monitor", "metricsAccount": "prometheus-prod", "scopes": ["aws", "gcp"]},
  {"type": "rollback", "trigger": "automatic", "conditions": ["errorRate > 5%", "latency > 2s"]}]}}
"""


def problems(spec: object, **change: object) -> str:
    with pytest.raises(ConfigError) as caught:
        compile_fleet(spec, {**sites(), **change})  # type: ignore[arg-type]
    return str(caught.value)


def test_the_example_compiles_the_same_every_time() -> None:
    first, second = compile_fleet(example(), sites()), compile_fleet(example(), sites())
    assert first == second
    assert [pipeline.name for pipeline in first.pipelines] == ["release", "rollback"]
    assert first.application.to_json() == {
        "name": "lora-training-platform",
        "email": "lora-training-platform@fleet.example.org",
        "description": "Trainers of LoRAs, released by lorafleet.",
        "cloudProviders": "kubernetes",
    }


def test_the_owner_is_who_gets_mail() -> None:
    spec = fleet(cluster(AWS), notifications=[{"type": "email", "address": "team@example.org"}])
    assert compile_fleet(spec, sites()).application.email == "team@example.org"


def test_ids_are_made_from_names() -> None:
    release, rollback = compiled(example())
    assert release.id == pipeline_id("lora-training-platform", "release") == "9c6f939d-a37b-5196-8aa4-61ee96a44b2a"
    assert rollback.id != release.id
    trigger, webhook = rollback.to_json()["triggers"]
    assert (trigger["pipeline"], trigger["status"]) == (release.id, ["failed", "canceled"])
    assert webhook["payloadConstraints"] == {"secret": WEBHOOK_SECRET, "status": "firing"}


def test_the_compact_form_compiles_once_it_knows_the_console() -> None:
    spec = read_fleet(parse(COMPACT), {"lora-scripts:latest": DIGEST}.get)
    assert problems(spec) == (
        "key 'console.url' is missing: workers and Spinnaker's webhooks call the console there "
        "(the compact form has no place for it; give it by option, or write fleet.yaml)"
    )
    full = spec.model_copy(update={"console": example().console})
    release, _ = compile_fleet(full, sites()).pipelines
    digest = release.to_json()["parameterConfig"][0]
    assert (digest["name"], digest["default"]) == ("image_digest", DIGEST)


def test_what_is_missing_is_said_in_one_line_each() -> None:
    spec = fleet(cluster("mars"), cluster(AWS, size=99), cluster(GCP))
    assert problems(spec, **{GCP: sites()[AWS]}).splitlines() == [
        "sites/mars.json: the facts of site 'mars' are missing (lorafleet site export mars writes it)",
        f"{AWS}: 99 workers need 99 GPUs, and its pools grow to 8 (lower targetSize, or let the site's pools grow)",
        f"sites/{GCP}.json: this file is of site '{AWS}' (export it again)",
    ]


def test_the_digest_comes_with_the_run() -> None:
    text = json.dumps(
        [pipeline.to_json() for pipeline in compiled(fleet(cluster(AWS), image=f"registry.example.org/x/y@{DIGEST}"))]
    )
    assert text.count(DIGEST) == 1
    assert text.count(f"{sites()[AWS].registry}/y@${{parameters.image_digest}}") == 3


def test_no_parameter_holds_a_token() -> None:
    for pipeline in compiled(example()):
        defaults = {parameter.name: parameter.default for parameter in pipeline.parameters}
        assert defaults == {"image_digest": "", "release": "", "console_token": ""}


def test_the_watch_asks_for_what_the_console_reads() -> None:
    release, _ = compiled(fleet(cluster(AWS), watch="20m"))
    watches = [stage for stage in release.stages if isinstance(stage, Webhook) and stage.ref_id.startswith("watch-")]
    assert len(watches) == 2
    for watch in watches:
        assert watch.payload is not None
        asked = Watch.model_validate(watch.payload)
        assert asked == Watch(seconds=1200, deadline=2400)
        assert watch.limit.total_seconds() > asked.deadline
        assert watch.url == f"https://fleet.example.org/api/v1/releases/${{parameters.release}}/sites/{AWS}/watches"
    assert (Poll().success, Poll().failure) == (StageStatus.PASS, StageStatus.FAIL)


@pytest.mark.parametrize("watch", ["2d", "0s"])
def test_a_watch_that_the_console_refuses(watch: str) -> None:
    assert problems(fleet(cluster(AWS), watch=watch)).startswith(
        "release.watch: a share is watched for more than 0s and at most 1d"
    )


@pytest.mark.parametrize(
    ("strategy", "share", "watched"),
    [
        ("canary", "10%", ["10%"]),
        ("canary", "100%", ["100%"]),
        ("bluegreen", None, ["100%"]),
        ("rolling", "40%", ["40%", "80%", "100%"]),
    ],
)
def test_each_share_is_watched_before_the_next(strategy: str, share: str | None, watched: list[str]) -> None:
    release, _ = compiled(fleet(cluster(AWS, strategy, **({"share": share} if share else {}))))
    shares = [
        stage.name.split()[1] for stage in release.stages if stage.role is Role.SHARE and stage.name not in ("Promote", "Settle")
    ]
    assert shares == watched
    steps = [stage["payload"]["step"] for stage in release.to_json()["stages"] if stage["refId"].startswith("share-")]
    assert steps == list(range(1, len(watched) + 1))


def test_a_long_drain_does_not_hold_the_pipeline() -> None:
    for drain, held in (("2h", limits.DRAIN_HELD), ("5m", timedelta(minutes=5))):
        release, _ = compiled(fleet(cluster(AWS), drain=drain))
        drained = next(stage for stage in release.stages if stage.ref_id == "drained")
        assert drained.limit == held + limits.WATCH_SLACK


def test_approvals_stand_where_they_are_asked() -> None:
    spec = fleet(
        cluster(AWS),
        approvals=[
            {"before": "start", "roles": ["a"], "timeout": "1h"},
            {"before": "promote", "instructions": "Look at it", "timeout": "2h"},
            {"before": "promote", "timeout": "3h"},
        ],
    )
    stages = {stage["refId"]: stage for stage in compiled(spec)[0].to_json()["stages"]}
    start, first, second = stages["approve-start-1"], stages["approve-promote-1"], stages["approve-promote-2"]
    assert stages["preflight"]["requisiteStageRefIds"] == ["approve-start-1"]
    assert (start["selectedStageRoles"], start["failPipeline"], start["stageTimeoutMs"]) == (["a"], True, 3_600_000)
    assert (first["instructions"], first["continuePipeline"]) == ("Look at it", True)
    assert second["stageEnabled"]["expression"] == "#stage('Approve promote 1')['status'].toString() == 'SUCCEEDED'"
    assert stages["promote"]["requisiteStageRefIds"] == ["approve-promote-2"]
    assert stages["hold"]["stageTimeoutMs"] == 5 * 3_600_000 + 60_000


def test_notifications_are_plain() -> None:
    spec = fleet(cluster(AWS), notifications=[{"type": "slack", "address": "#x", "when": ["starting", "failed"]}])
    release, rollback = (pipeline.to_json() for pipeline in compiled(spec))
    assert release["notifications"] == [
        {
            "type": "slack",
            "level": "pipeline",
            "address": "#x",
            "when": ["pipeline.starting", "pipeline.failed"],
            "message": {
                "pipeline.starting": {"text": "release of loras: starting"},
                "pipeline.failed": {"text": "release of loras: failed"},
            },
        }
    ]
    assert rollback["notifications"][0]["message"]["pipeline.failed"] == {"text": "rollback of loras: failed"}


def test_windows() -> None:
    spec = fleet(cluster(AWS), windows=[{"days": ["sun", "wed"], "from": "09:00", "to": "11:30", "timeZone": "Europe/Berlin"}])
    preflight = next(stage for stage in compiled(spec)[0].to_json()["stages"] if stage["refId"] == "preflight")
    assert preflight["restrictExecutionDuringTimeWindow"] is True
    assert preflight["restrictedExecutionWindow"]["days"] == [1, 4]
    assert preflight["restrictedExecutionWindow"]["whitelist"] == [{"startHour": 9, "startMin": 0, "endHour": 11, "endMin": 30}]
    assert "tasks.execution-window.timezone of Orca" in preflight["skipWindowText"]


NIGHT = {"from": "22:00", "to": "02:00"}
ALL_DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ([NIGHT], "passes midnight"),
        ([{"from": "1:00", "to": "2:00", "days": ["mon"]}, {"from": "1:00", "to": "2:00", "days": ["tue"]}], "different days"),
        ([{"from": "1:00", "to": "2:00", "timeZone": "UTC"}, {"from": "3:00", "to": "4:00"}], "different time zones"),
    ],
)
def test_windows_that_spinnaker_cannot_say(windows: list[object], message: str) -> None:
    assert message in problems(fleet(cluster(AWS), windows=windows))


def test_a_night_of_all_days_can_be_said() -> None:
    assert compiled(fleet(cluster(AWS), windows=[{**NIGHT, "days": ALL_DAYS}]))


def test_sites_whose_names_look_like_our_own_words() -> None:
    names = ["a", "a-b", "b", "end", "at-end", "while-waiting"]
    spec = fleet(*(cluster(name) for name in names), approvals=[{"before": "promote"}])
    facts = {name: sites()[AWS].model_copy(update={"name": name}) for name in names}
    stages = compile_fleet(spec, facts).pipelines[0].stages
    assert len({stage.ref_id for stage in stages}) == len(stages)
    assert len({stage.name for stage in stages}) == len(stages)
