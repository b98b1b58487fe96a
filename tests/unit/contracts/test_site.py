import base64
import json
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from lorafleet.contracts.gpus import GPUS
from lorafleet.contracts.schemas import render
from lorafleet.contracts.site import Site

CA = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----\n").decode()
PEM = "-----BEGIN " + "PRIVATE KEY-----\nMIIE\n"
SITE: dict[str, Any] = {
    "name": "aws-eu-central-1",
    "cloud": "aws",
    "region": "eu-central-1",
    "cluster": {
        "name": "fleet",
        "endpoint": "https://ABC.gr7.eu-central-1.eks.amazonaws.com",
        "ca": CA,
        "identifier": "arn:aws:eks:eu-central-1:123456789012:cluster/fleet",
        "kubeconfig_command": ["aws", "eks", "update-kubeconfig", "--region", "eu-central-1", "--name", "fleet"],
    },
    "namespace": "lora",
    "registry": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/fleet",
    "object_store": "s3://fleet-eu-central-1/runs",
    "shared_volume": {"claim": "shared", "driver": "efs.csi.aws.com", "handle": "fs-0123::fsap-0123"},
    "gpu_pools": [{"type": "L4", "driver": "580.95.05", "max": 4}, {"type": "L40S", "driver": "580.95.05", "max": 0}],
    "identities": {
        "trainer": {
            "service_account": "trainer",
            "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/trainer"},
            "pod_labels": {"azure.workload.identity/use": "true"},
        },
        "spinnaker": "fleet:deployers",
    },
    "prometheus": "http://prometheus.monitoring:9090",
    "spinnaker_account": "aws-eu-central-1",
}


def with_value(path: str, value: Any) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(SITE))
    *parents, last = path.split(".")
    place: Any = changed
    for part in parents:
        place = place[int(part) if part.isdigit() else part]
    place[last] = value
    return changed


def test_a_site_survives_its_file_and_fits_its_schema() -> None:
    site = Site.model_validate(SITE)
    assert Site.model_validate_json(site.model_dump_json()) == site
    jsonschema.validate(site.model_dump(mode="json"), json.loads(render()["schemas/site.json"]))


def test_what_a_cluster_without_a_cloud_lacks_may_be_left_out() -> None:
    values = {key: value for key, value in SITE.items() if key not in ("shared_volume", "prometheus")}
    site = Site.model_validate({**values, "cloud": "local", "gpu_pools": [], "object_store": "file:///srv/fleet"})
    assert site.prometheus is None
    assert site.shared_volume is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("cluster.kubeconfig", "apiVersion: v1"),
        ("cluster.token", "s3cr3t"),
        ("secret", "s3cr3t"),
        ("cluster.identifier", "AKIA" + "B" * 16),
        ("cluster.ca", base64.b64encode(PEM.encode()).decode()),
        ("cluster.kubeconfig_command", ["kubectl", "--token=s3cr3t"]),
        ("object_store", "az://fleet?" + "sig=s3cr3t"),
        ("object_store", "s3://key:" + "s3cr3t@fleet"),
        ("prometheus", "http://me:" + "s3cr3t@prometheus:9090"),
        ("identities.trainer.annotations", {"client-secret": "s3cr3t"}),
        ("identities.trainer.annotations", {"note": PEM}),
    ],
)
def test_no_credential_gets_into_a_site_and_none_is_shown(path: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Site.model_validate(with_value(path, value))
    assert "never holds credentials" in str(caught.value)
    for secret in ("s3cr3t", "MIIE", "B" * 16):
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "AWS EU"),
        ("cloud", "moon"),
        ("cluster.endpoint", "http://10.0.0.1"),
        ("cluster.kubeconfig_command", []),
        ("cluster.kubeconfig_command", "aws eks update-kubeconfig"),
        ("registry", "https://registry.example"),
        ("registry", "fleet"),
        ("object_store", "/srv/fleet"),
        ("object_store", "s3://"),
        ("prometheus", "prometheus:9090"),
        ("gpu_pools.0.type", "L5"),
        ("gpu_pools.0.driver", "LATEST"),
        ("gpu_pools.0.max", -1),
        ("shared_volume.claim", "Shared Files"),
        ("unknown", 1),
    ],
)
def test_other_wrong_values_are_refused(path: str, value: Any) -> None:
    Site.model_validate(SITE)
    with pytest.raises(ValidationError):
        Site.model_validate(with_value(path, value))


def test_every_gpu_of_the_table_is_a_type() -> None:
    for gpu in GPUS:
        assert Site.model_validate(with_value("gpu_pools.0.type", gpu.name)).gpu_pools[0].type == gpu.name
