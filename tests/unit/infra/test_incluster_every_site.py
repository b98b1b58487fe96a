"""What the in-cluster program must keep in every cluster: provider, types, protection, one contract, no secret."""

import json
from typing import Any

import pytest
from recorded_incluster import HOME, KINDS, changed_incluster, cloud_outputs, incluster, record_incluster, recorded_incluster
from recorded_program import Resource
from sdk_schema import faults

from infra.incluster.secrets import SecretSpec, needed
from lorafleet.contracts.site import Site

pytestmark = pytest.mark.parametrize("kind", KINDS)

HOLDS_DATA = {
    "aws": {"workers", "shared", "monitoring", "prometheus", "postgres", "postgres-data", "postgres-dumps"},
    "gcp": {"workers", "shared", "monitoring", "prometheus", "postgres", "postgres-data", "postgres-dumps"},
    "azure": {"workers", "shared", "monitoring", "prometheus"},
    "local": {"workers", "shared", "monitoring", "prometheus", "backup", "backup-server"},
}
PODS = {
    "kubernetes:apps/v1:Deployment": ("spec", "template", "spec"),
    "kubernetes:apps/v1:DaemonSet": ("spec", "template", "spec"),
    "kubernetes:apps/v1:StatefulSet": ("spec", "template", "spec"),
    "kubernetes:batch/v1:CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}


def objects(kind: str) -> list[Resource]:
    return [each for each in recorded_incluster(kind).resources if each.type.startswith("kubernetes:")]


def test_every_input_is_one_of_the_sdk(kind: str) -> None:
    assert {each.label: found for each in objects(kind) if (found := faults(each.type, each.inputs))} == {}


def test_every_object_names_the_one_provider_and_belongs_to_a_component(kind: str) -> None:
    assert {each.provider for each in objects(kind)} == {"pulumi:providers:kubernetes::kubernetes"}
    assert all(each.parent.startswith("lorafleet:") and each.parent.split("::")[0].endswith(":InCluster") for each in objects(kind))


def test_the_provider_knows_the_cluster_by_its_own_name_and_applies_on_the_server(kind: str) -> None:
    provider = recorded_incluster(kind).one("pulumi:providers:kubernetes").inputs
    known = HOME if kind == "local" else cloud_outputs(kind).cluster
    assert provider["clusterIdentifier"] == known.identifier
    assert provider["enableServerSideApply"] == "true"


def test_what_holds_data_is_protected(kind: str) -> None:
    assert {each.name for each in objects(kind) if each.protect} == HOLDS_DATA[kind]
    unprotected = record_incluster(kind, changed_incluster(kind, protect=False))
    assert not [each.label for each in unprotected.resources if each.protect]


def test_nothing_runs_before_the_walls_of_its_namespace(kind: str) -> None:
    namespaces = {each.inputs["metadata"]["name"]: each.name for each in objects(kind) if each.type.endswith(":Namespace")}
    checked = 0
    for each in objects(kind):
        home = each.inputs.get("metadata", {}).get("namespace")
        if each.type in PODS and home in namespaces:
            name = namespaces[home]
            assert f"kubernetes:networking.k8s.io/v1:NetworkPolicy::{name}-deny" in each.dependencies, each.label
            assert f"kubernetes:core/v1:ResourceQuota::{name}-room" in each.dependencies, each.label
            checked += 1
    assert checked


def test_every_image_is_named_by_digest(kind: str) -> None:
    images = [
        container["image"]
        for each in objects(kind)
        if each.type in PODS
        for container in _pod(each)["containers"] + _pod(each).get("initContainers", [])
    ]
    assert images
    assert [each for each in images if "@sha256:" not in each] == []


def test_names_are_told_apart(kind: str) -> None:
    labels = [each.label for each in recorded_incluster(kind).resources]
    assert len(set(labels)) == len(labels)


def test_a_first_preview_shows_the_whole_site(kind: str) -> None:
    planned = record_incluster(kind, incluster(kind), preview=True)
    assert [each.label for each in planned.resources] == [each.label for each in recorded_incluster(kind).resources]
    assert planned.outputs == recorded_incluster(kind).outputs


def test_the_output_is_the_sites_contract(kind: str) -> None:
    outputs = recorded_incluster(kind).outputs
    assert set(outputs) == {"site"}
    site = Site.model_validate(outputs["site"])
    assert (site.name, site.cloud, site.spinnaker_account) == (KINDS[kind], kind, KINDS[kind])
    assert site.prometheus == "http://prometheus.lorafleet-monitoring.svc:9090"
    assert site.shared_volume is not None
    assert site.shared_volume.claim == "shared"


def test_secrets_are_hidden_from_state_and_outputs(kind: str) -> None:
    values: dict[SecretSpec, str] = {spec: f"value of {spec.config}" for spec in needed(incluster(kind))}
    recording = record_incluster(kind, changed_incluster(kind, present_secrets=[]), secrets=values)
    made = {each.inputs["metadata"]["name"]: each.inputs for each in recording.all("core/v1:Secret")}
    assert set(made) == {spec.name for spec in values}
    for spec, value in values.items():
        held = made[spec.name]["stringData"]
        # As the engine is told of a secret: it encrypts it in the state.
        assert held == {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": {spec.key: value}}
    without = [each.inputs for each in recording.resources if not each.type.endswith(":Secret")]
    assert "value of" not in json.dumps([without, recording.outputs])
    assert recording.secrets == set()


def test_nothing_reads_a_token_that_speaks_to_no_api(kind: str) -> None:
    speaking = {each.name for each in objects(kind) if each.type in PODS and _pod(each)["automountServiceAccountToken"]}
    assert speaking == {"prometheus", "autoscaler"} if kind == "aws" else speaking == {"prometheus"}


def _pod(resource: Resource) -> dict[str, Any]:
    found = resource.inputs
    for key in PODS[resource.type]:
        found = found[key]
    return found
