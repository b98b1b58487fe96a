import json
from typing import Any

import jsonschema
import pytest

from lorafleet.contracts.compact import CompactSpec, compile_compact, read_fleet
from lorafleet.contracts.document import parse
from lorafleet.contracts.fleet import FleetSpec
from lorafleet.contracts.problems import ConfigError
from lorafleet.contracts.schemas import render
from lorafleet.contracts.shares import ALL, Share

SHA = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32
# Letter for letter the form that users write.
COMPACT = """\
{"application": "lora-training-platform", "pipeline": {"stages": [
  {"type": "deploy", "clusters": [
    {"account": "aws-eu-central-1", "container": "lora-scripts:latest", "targetSize": 3, "strategy": "canary"},
    {"account": "gcp-us-west1", "container": "lora-scripts:latest", "targetSize": 2, "strategy": "bluegreen"}]},
  {"type": "monitor", "metricsAccount": "prometheus-prod", "scopes": ["aws", "gcp"]},
  {"type": "rollback", "trigger": "automatic", "conditions": ["errorRate > 5%", "latency > 2s"]}]}}
"""


def read(text: str = COMPACT, digests: dict[str, str] | None = None) -> FleetSpec:
    return read_fleet(parse(text, "pipeline.json"), (digests or {}).get)


def refused(text: str, digests: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, digests)
    return [str(problem) for problem in caught.value.problems]


def test_the_compact_form_becomes_a_fleet_unchanged_once_its_tag_is_resolved() -> None:
    spec = read(digests={"lora-scripts:latest": SHA})
    assert spec.application == "lora-training-platform"
    assert str(spec.image) == f"lora-scripts@{SHA}"
    assert (spec.sites, spec.home, spec.standby) == (("aws-eu-central-1", "gcp-us-west1"), "aws-eu-central-1", "gcp-us-west1")
    aws, gcp = spec.release.clusters
    assert (aws.site, aws.target_size, aws.schedule) == ("aws-eu-central-1", 3, (Share(1000), ALL))
    assert (gcp.site, gcp.target_size, gcp.schedule) == ("gcp-us-west1", 2, (ALL,))
    assert (spec.monitor.metrics_account, spec.monitor.scopes) == ("prometheus-prod", ("aws", "gcp"))
    assert [str(condition) for condition in spec.rollback.conditions] == ["errorRate > 5%", "latency > 2s"]
    assert FleetSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("container", ["lora-scripts:latest", "lora-scripts:v1.2", "lora-scripts"])
def test_what_may_change_is_refused(container: str) -> None:
    problems = refused(COMPACT.replace("lora-scripts:latest", container))
    assert len(problems) == 2
    assert problems[0].startswith(f"pipeline.json:3: aws-eu-central-1: '{container}' may change at any time")
    assert problems[1].startswith("pipeline.json:4: gcp-us-west1: ")
    assert "lora-scripts@sha256:" in problems[0]


def test_a_digest_needs_no_resolving() -> None:
    assert str(read(COMPACT.replace("lora-scripts:latest", f"lora-scripts@{SHA}")).image) == f"lora-scripts@{SHA}"


def test_one_release_is_one_image() -> None:
    (problem,) = refused(COMPACT.replace("lora-scripts:latest", f"lora-scripts@{OTHER}", 1), {"lora-scripts:latest": SHA})
    assert problem.startswith("pipeline.json:4: gcp-us-west1 and aws-eu-central-1 would get different images")
    mixed = COMPACT.replace("lora-scripts:latest", f"lora-scripts@{SHA}", 1)
    assert str(read(mixed, {"lora-scripts:latest": SHA}).image) == f"lora-scripts@{SHA}"


def test_a_resolver_that_gives_no_digest_is_refused() -> None:
    first, second = refused(COMPACT, {"lora-scripts:latest": "latest"})
    assert first.startswith("pipeline.json:3: 'latest' is no digest of lora-scripts:latest")
    assert second.startswith("pipeline.json:4: ")


def test_without_a_resolver_and_a_document_a_tag_is_refused_too() -> None:
    spec = CompactSpec.model_validate(json.loads(COMPACT))
    with pytest.raises(ConfigError, match="may change at any time"):
        compile_compact(spec)
    assert compile_compact(spec, lambda container: SHA) == read(digests={"lora-scripts:latest": SHA})


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"targetSize": 3', '"targetSiz": 3', "pipeline.json:3: unknown key"),
        ('"targetSize": 3', '"targetSize": 0', "pipeline.json:3: pipeline.stages.0.clusters.0.targetSize"),
        ('"strategy": "canary"', '"strategy": "highlander"', "pipeline.json:3: "),
        ('"targetSize": 3', '"targetSize": 5000', "pipeline.json:3: pipeline.stages.0.clusters.0.targetSize"),
        (
            '"account": "gcp-us-west1"',
            '"account": "aws-eu-central-1"',
            "pipeline.json:2: pipeline.stages.0.clusters: 'aws-eu-central-1' stands twice",
        ),
        ('"errorRate > 5%"', '"latency > 2000ms"', "pipeline.json:6: pipeline.stages.2.conditions: 'latency > 2s' stands twice"),
        (
            '"lora-scripts:latest"',
            '"Lora Scripts"',
            "pipeline.json:3: pipeline.stages.0.clusters.0.container: 'Lora Scripts' is no image",
        ),
        ('"type": "monitor"', '"typ": "monitor"', "pipeline.json:5: pipeline.stages.1: key 'type' is missing"),
        ('"monitor"', '"montor"', "pipeline.json:5: "),
        (
            '"type": "monitor", "metricsAccount": "prometheus-prod", "scopes": ["aws", "gcp"]',
            '"type": "deploy", "clusters": []',
            "pipeline.json:5: pipeline.stages.1.clusters: ",
        ),
        ('"errorRate > 5%"', '"errorRate > 5"', "pipeline.json:6: pipeline.stages.2.conditions.0"),
        ('"errorRate > 5%"', '"gpuErrors > 5"', "pipeline.json:6: pipeline.stages.2.conditions: 'gpuErrors' is not measured"),
        ('"automatic"', '"manual"', "pipeline.json:6: "),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, words: str) -> None:
    assert old in COMPACT
    problems = refused(COMPACT.replace(old, new, 1), {"lora-scripts:latest": SHA})
    assert any(words in problem for problem in problems), problems


def stages(*kinds: str) -> str:
    values: dict[str, Any] = json.loads(COMPACT)
    values["pipeline"]["stages"] = [stage for kind in kinds for stage in values["pipeline"]["stages"] if stage["type"] == kind]
    return json.dumps(values)


def test_stages_stand_once_and_only_deploy_is_needed() -> None:
    digests = {"lora-scripts:latest": SHA}
    assert read(stages("deploy"), digests).monitor.metrics_account is None
    assert "no stage of type 'deploy'" in refused(stages("monitor", "rollback"), digests)[0]
    assert "two stages of type 'monitor'" in refused(stages("deploy", "monitor", "monitor"), digests)[0]


def test_the_other_form_is_told_apart() -> None:
    text = f"""
application: a
image: lora@{SHA}
sites: [x]
home: x
release: {{clusters: [{{site: x, targetSize: 1, strategy: rolling}}]}}
"""
    assert str(read(text).image) == f"lora@{SHA}"
    assert "did you mean 'sites'?" in " ".join(refused(text.replace("sites:", "site:")))
    assert "expected keys and values" in refused("[]")[0]


def test_both_forms_fit_their_json_schemas() -> None:
    files = render()
    jsonschema.validate(json.loads(COMPACT), json.loads(files["schemas/compact-spec.json"]))
    spec = read(digests={"lora-scripts:latest": SHA})
    schema = json.loads(files["schemas/fleet-spec.json"])
    jsonschema.validate(spec.model_dump(mode="json"), schema)
    tagged = {**spec.model_dump(mode="json"), "image": "lora-scripts:latest"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tagged, schema)
