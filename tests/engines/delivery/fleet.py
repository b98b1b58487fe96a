"""A fleet of two sites for the tests: its spec, the facts of its sites, and what infra would have put into their clusters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorafleet.contracts.fleet import FleetSpec
from lorafleet.contracts.site import Site
from tests.engines.kubernetes.cluster import Cluster
from tests.engines.kubernetes.control_plane import ControlPlane

_KEDA = Path(__file__).parent.parent / "kubernetes" / "keda-crd.yaml"
OLD = "sha256:" + "0" * 64
"""The image that is stable before a release."""


def spec(application: str, console: str, **changes: Any) -> FleetSpec:
    """The fleet as a user writes it: a canary in one site, blue-green in the other. Short watches, the default conditions."""
    sites = ("aws-eu-central-1", "gcp-us-west1")
    written = {
        "application": application,
        "image": "registry.lorafleet.test/example/lora-trainer",
        "console": {"url": console},
        "sites": list(sites),
        "home": sites[0],
        "release": {
            "clusters": [
                {"site": sites[0], "targetSize": 2, "strategy": "canary", "share": "10%"},
                {"site": sites[1], "targetSize": 2, "strategy": "bluegreen"},
            ],
            "watch": "10s",
            "warm": "2s",
            "drain": "10s",
        },
        "rollback": {"trigger": "automatic", "conditions": ["errorRate > 5%", "latency > 2s"], "min_samples": 20},
    }
    return FleetSpec.model_validate(_merged(written, changes))


def site(cluster: ControlPlane, namespace: str, registry: str = "registry.lorafleet.test/example") -> Site:
    """The facts of a cluster, as the stack that built it would export them."""
    return Site.model_validate(
        {
            "name": cluster.name,
            "cloud": "local",
            "region": "test",
            "cluster": {
                "name": cluster.name,
                "endpoint": f"https://{cluster.address}:{cluster.port}",
                "ca": "UExBQ0VIT0xERVI=",
                "identifier": cluster.name,
                "kubeconfig_command": ["cat", "kubeconfig"],
            },
            "namespace": namespace,
            "registry": registry,
            "object_store": f"s3://{cluster.name}",
            "shared_volume": {"claim": "shared", "driver": "hostpath.csi.k8s.io", "handle": "shared"},
            "gpu_pools": [{"type": "L4", "driver": "580.95.05", "max": 8}],
            "identities": {
                "trainer": {"service_account": "trainer", "annotations": {}, "pod_labels": {}},
                "spinnaker": "spinnaker",
            },
            "prometheus": "http://prometheus.monitoring.svc",
            "spinnaker_account": cluster.name,
        }
    )


def furnish(cluster: Cluster, namespace: str, application: str) -> None:
    """What a release finds in a site: namespace, service account, shared volume, KEDA's definitions, and the stable workers."""
    volume = f"shared-{namespace}"
    # Trials begin side by side; a client-side apply would lose that race.
    cluster.kubectl("apply", "--server-side", "-f", str(_KEDA))
    cluster.kubectl("wait", "--for=condition=Established", "crd/scaledobjects.keda.sh", "--timeout=30s")
    cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "trainer", "namespace": namespace}},
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                "capacity": {"storage": "1Ti"},
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "",
                "hostPath": {"path": "/shared"},
                "claimRef": {"namespace": namespace, "name": "shared"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "shared", "namespace": namespace},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "",
                "volumeName": volume,
                "resources": {"requests": {"storage": "1Ti"}},
            },
        },
        _stable(namespace, application),
    )


def _stable(namespace: str, application: str) -> dict[str, Any]:
    labels = {
        "app.kubernetes.io/part-of": application,
        "app.kubernetes.io/component": "worker",
        "lorafleet/release": OLD.removeprefix("sha256:")[:12],
    }
    tolerations = [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    container = {"name": "worker", "image": f"registry.lorafleet.test/example/lora-trainer@{OLD}"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": f"trainer-{labels['lorafleet/release']}",
            "namespace": namespace,
            "labels": {**labels, "lorafleet/track": "stable"},
        },
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"tolerations": tolerations, "containers": [container]}},
        },
    }


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
