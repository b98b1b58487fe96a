"""The home's PostgreSQL as Kubernetes takes it: its objects on a real API server, under its own pod security and quota."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.kubernetes.cluster import Cluster
from tests.engines.processes import wait_until

_UNIT = str(Path(__file__).parents[1] / "unit" / "infra")
NAMESPACE = "lorafleet-postgres"


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    """What the component declares of a standby that the other site reaches."""
    sys.path.insert(0, _UNIT)
    try:
        from postgres_program import STANDBY, configured, program
    finally:
        sys.path.remove(_UNIT)
    recording = program(configured(STANDBY))
    found = [each.inputs for each in recording.resources if each.type.startswith("kubernetes:")]
    for each in found:
        if each["kind"] == "ConfigMap":
            each["metadata"]["name"] = "postgres-scripts.metadata.name"
    first = ("Namespace", "ResourceQuota", "LimitRange")
    return sorted(found, key=lambda each: (each["kind"] not in first, each["kind"] != "Namespace"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, objects: list[dict[str, Any]]) -> Iterator[Cluster]:
    cluster = Cluster("home", tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        for each in objects:
            cluster.apply(each)
        yield cluster
    finally:
        cluster.stop()


def get(cluster: Cluster, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.kubectl("-n", NAMESPACE, "get", *words, "-o", "json"))
    return found


def _pods(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """The namespace's pods by name; a dump's may be among them."""
    return {pod["metadata"]["name"]: pod for pod in get(cluster, "pods")["items"]}


def test_its_namespace_lets_its_pod_in(cluster: Cluster) -> None:
    wait_until(lambda: "postgres-0" in _pods(cluster), 30, "the StatefulSet's pod")
    labels = get(cluster, "namespace", NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = _pods(cluster)["postgres-0"]
    # What a wrong name would have been dropped of.
    assert {each["name"] for each in pod["spec"]["volumes"]} == {"config", "tls", "secrets", "run", "volume", "shm"}
    assert pod["spec"]["containers"][0]["startupProbe"]["failureThreshold"] == 720


def test_its_quota_has_room_for_its_service_and_a_dump(cluster: Cluster) -> None:
    cluster.kubectl("-n", NAMESPACE, "create", "job", "now", "--from=cronjob/postgres-dump")
    wait_until(lambda: len(_pods(cluster)) == 2, 30, "the dump's pod")
    assert get(cluster, "service", "postgres-peer")["spec"]["loadBalancerSourceRanges"] == ["198.51.100.7/32"]
    used = get(cluster, "resourcequota", "room")["status"]["used"]
    assert (used["services.loadbalancers"], used["persistentvolumeclaims"]) == ("1", "2")


def test_no_eviction_takes_the_only_server(cluster: Cluster) -> None:
    wait_until(lambda: get(cluster, "poddisruptionbudget", "postgres")["status"].get("expectedPods") == 1, 30, "it counts the pod")
    assert get(cluster, "poddisruptionbudget", "postgres")["status"]["disruptionsAllowed"] == 0
