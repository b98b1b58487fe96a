"""What Kubernetes gets, once Orca has put the digest in."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fleets import D12, DIGEST, PARAMETERS, sites
from simulated_spel import interpolate

from lorafleet.contracts.image import digest12
from lorafleet.contracts.metrics import DESIRED_WORKERS
from lorafleet.contracts.release import Release, SiteRelease
from lorafleet.contracts.shares import Share, Strategy
from pipelines.manifests.pod import Resources
from pipelines.manifests.release import TrackValue
from pipelines.manifests.smoke import smoke_job
from pipelines.manifests.worker import ENROLMENT_SECRET, Workers

NAMES = ["aws-eu-central-1", "gcp-us-west1", "azure-westeurope", "local"]


def workers(name: str, **change: Any) -> Workers:
    return Workers("loras", sites()[name].model_copy(update=change), "lora-trainer", "https://fleet.example.org", 3)


def given(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = interpolate(manifest, {"parameters": PARAMETERS})
    return found


def made(name: str, track: TrackValue = TrackValue.CANDIDATE, **change: Any) -> list[dict[str, Any]]:
    return [given(manifest) for manifest in workers(name, **change).manifests(track)]


def pods(name: str, **change: Any) -> list[dict[str, Any]]:
    job = given(smoke_job(workers(name, **change), timedelta(minutes=1)))
    return [manifest["spec"]["template"] for manifest in (made(name, **change)[0], job)]


def test_names_are_those_of_the_contract() -> None:
    release = Release(
        digest=DIGEST, sites=(SiteRelease(site="x", strategy=Strategy.CANARY, target_size=1, first_share=Share(1000)),)
    )
    deployment, scaled = made(NAMES[0])
    assert deployment["metadata"]["name"] == scaled["metadata"]["name"] == release.workload
    assert deployment["metadata"]["labels"]["lorafleet/release"] == digest12(DIGEST) == D12


@pytest.mark.parametrize("name", NAMES)
def test_images_are_named_by_digest_in_the_sites_own_registry(name: str) -> None:
    for pod in pods(name):
        for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]:
            assert container["image"] == f"{sites()[name].registry}/lora-trainer@{DIGEST}"


@pytest.mark.parametrize("name", NAMES)
def test_pods_may_do_nothing_that_they_need_not(name: str) -> None:
    for pod in pods(name):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
            assert container["resources"]["requests"]["nvidia.com/gpu"] == "1"


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_written_to_is_a_volume(name: str, shared: bool) -> None:
    for pod in pods(name) if shared else pods(name, shared_volume=None):
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            paths = {mount["mountPath"] for mount in container["volumeMounts"]}
            assert {"/tmp", "/scratch", "/dev/shm"} <= paths
            assert ("/shared" in paths) == shared


def test_the_selector_finds_the_pods_and_never_changes() -> None:
    for name in NAMES:
        candidate, stable = made(name)[0], made(name, TrackValue.STABLE)[0]
        assert candidate["spec"] == stable["spec"]
        assert candidate["metadata"]["labels"]["lorafleet/track"] == "candidate"
        assert stable["metadata"]["labels"]["lorafleet/track"] == "stable"
        labels = candidate["spec"]["template"]["metadata"]["labels"]
        assert candidate["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert "lorafleet/track" not in labels


def test_each_clouds_workload_identity() -> None:
    template = made("azure-westeurope")[0]["spec"]["template"]
    assert template["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert template["spec"]["serviceAccountName"] == "trainer"
    assert made("gcp-us-west1")[0]["spec"]["template"]["metadata"]["annotations"] == {
        "iam.gke.io/gcp-service-account": "lf-gcp-us-west1-trainer@example-project.iam.gserviceaccount.com"
    }
    # EKS binds the service account by its name.
    assert made("aws-eu-central-1")[0]["spec"]["template"]["metadata"]["annotations"] == {}


def test_workers_land_on_the_spot_nodes_of_every_cloud() -> None:
    keys = {name: [each["key"] for each in made(name)[0]["spec"]["template"]["spec"]["tolerations"]] for name in NAMES}
    gpu = "nvidia.com/gpu"
    azure = [gpu, "kubernetes.azure.com/scalesetpriority"]
    assert keys == {"aws-eu-central-1": [gpu], "gcp-us-west1": [gpu], "azure-westeurope": azure, "local": [gpu]}


def test_the_worker_is_told_where_it_is() -> None:
    container = made("gcp-us-west1")[0]["spec"]["template"]["spec"]["containers"][0]
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    assert container["args"] == ["worker"]
    assert "command" not in container  # the image's own entry, with its init
    assert env["LORAFLEET_CONSOLE"] == "https://fleet.example.org"
    assert env["LORAFLEET_SITE"] == "gcp-us-west1"
    assert env["LORAFLEET_RELEASE"] == DIGEST
    assert env["LORAFLEET_CREDENTIAL_FILE"] == "/var/run/lorafleet/credential"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"][:3] == ["lorafleet", "worker", "--probe"]


def test_a_worker_with_several_gpus_has_more_of_everything_and_knows_it() -> None:
    one = made("gcp-us-west1")[0]["spec"]["template"]["spec"]["containers"][0]
    assert "LORAFLEET_GPUS" not in {entry["name"] for entry in one["env"]}
    large = replace(workers("gcp-us-west1"), resources=Resources(gpus=4))
    container = given(large.manifests(TrackValue.CANDIDATE)[0])["spec"]["template"]["spec"]["containers"][0]
    assert {entry["name"]: entry["value"] for entry in container["env"]}["LORAFLEET_GPUS"] == "4"
    assert container["resources"]["limits"] == {"memory": "96Gi", "ephemeral-storage": "160Gi", "nvidia.com/gpu": "4"}
    assert container["resources"]["requests"]["cpu"] == "8"


def test_the_credential_is_a_file_of_a_secret() -> None:
    spec = made("gcp-us-west1")[0]["spec"]["template"]["spec"]
    (secret,) = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
    assert (secret["secretName"], secret["defaultMode"]) == (ENROLMENT_SECRET, 0o440)
    assert not any("valueFrom" in entry for entry in spec["containers"][0]["env"])


def test_keda_rules_the_number_of_workers() -> None:
    deployment, scaled = made("gcp-us-west1")
    assert "replicas" not in deployment["spec"]
    assert scaled["spec"]["scaleTargetRef"] == {"name": deployment["metadata"]["name"]}
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (0, 3)
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["metadata"]["query"] == f'max({DESIRED_WORKERS.name}{{site="gcp-us-west1",release="{DIGEST}"}})'
    assert trigger["metadata"]["ignoreNullValues"] == "false"


def test_without_prometheus_nothing_scales() -> None:
    (deployment,) = made("gcp-us-west1", prometheus=None)
    assert deployment["spec"]["replicas"] == 3
    assert workers("gcp-us-west1", prometheus=None).kinds == ("deployment",)


def test_the_smoke_job_is_tried_once() -> None:
    job = given(smoke_job(workers("gcp-us-west1"), timedelta(minutes=19)))
    assert job["metadata"]["name"] == f"smoke-{D12}"
    assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (0, 1140)
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["doctor", "--require-gpu", "--train"]
    assert pod["restartPolicy"] == "Never"
