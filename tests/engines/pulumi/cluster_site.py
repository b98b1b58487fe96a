"""A Kubernetes API for the in-cluster stack: what stands in for what a simulated cluster lacks."""

import base64
import json
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import requests
import yaml

from tests.engines.kubernetes.cluster import Cluster
from tests.engines.pulumi.cloud_standin.asked import Kubernetes

_KEDA = Path(__file__).parent.parent / "kubernetes" / "keda-crd.yaml"
KEDA_VERSION = "2.17.2"
DISKS = ("", "", "lorafleet-disks", "lorafleet-postgres", "lorafleet-postgres")
"""The classes of the disks that stand ready: one's own cluster's, the site's and its database's."""


@contextmanager
def running(name: str, folder: Path) -> Iterator[Cluster]:
    """A real control plane with one node for the system and one with GPUs, both played by kwok, and a stand-in for what a cloud adds.

    No CSI driver runs here, and no network: a claim is bound and a pod becomes ready without any file system behind it.
    """
    cluster = Cluster(name, folder).start()
    try:
        cluster.add_gpu_node(f"{name}-gpu", labels={"lorafleet/pool": "l4"})
        room = {"cpu": "64", "memory": "256Gi", "pods": "110"}
        labels = {"kubernetes.io/os": "linux", "lorafleet/pool": "system"}
        cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": f"{name}-system", "labels": labels},
                "status": {"allocatable": room, "capacity": room},
            },
        )
        cluster.kubectl("wait", "--for=condition=Ready", f"node/{name}-system", "--timeout=30s")
        with _CloudController(cluster):
            yield cluster
    finally:
        cluster.stop()


class _CloudController:
    """What a cloud's controllers do while this lasts: a Service that wants an address from outside gets one, a claim gets a volume."""

    def __init__(self, cluster: Cluster) -> None:
        self._api = f"https://127.0.0.1:{cluster.port}/api/v1"
        self._ended = threading.Event()
        self._worker = threading.Thread(target=self._serve, daemon=True)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(cluster.folder / "ca.crt")
        self._session.cert = (str(cluster.folder / "admin.crt"), str(cluster.folder / "admin.key"))

    def __enter__(self) -> Self:
        self._worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._worker.join()

    def _serve(self) -> None:
        while not self._ended.wait(0.5):
            for service in self._all("services"):
                if service["spec"]["type"] == "LoadBalancer" and not service["status"]["loadBalancer"]:
                    self._give_address(service["metadata"])
            for claim in self._all("persistentvolumeclaims"):
                if claim["status"].get("phase") == "Pending" and not claim["spec"].get("volumeName"):
                    self._give_volume(claim)

    def _all(self, kind: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._session.get(f"{self._api}/{kind}", timeout=5).json()["items"]
        return items

    def _give_address(self, service: Mapping[str, Any]) -> None:
        url = f"{self._api}/namespaces/{service['namespace']}/services/{service['name']}/status"
        body = {"status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.9"}]}}}
        headers = {"Content-Type": "application/merge-patch+json"}
        self._session.patch(url, data=json.dumps(body), headers=headers, timeout=5).raise_for_status()

    def _give_volume(self, claim: Mapping[str, Any]) -> None:
        meta, spec = claim["metadata"], claim["spec"]
        volume = {
            "metadata": {"name": f"disk-{meta['uid']}"},
            "spec": {
                "capacity": spec["resources"]["requests"],
                "accessModes": spec["accessModes"],
                "storageClassName": spec.get("storageClassName", ""),
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {"namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]},
                "hostPath": {"path": f"/disks/{meta['uid']}"},
            },
        }
        # Made already and not bound yet: that is no error.
        answer = self._session.post(f"{self._api}/persistentvolumes", json=volume, timeout=5)
        assert answer.status_code in (201, 409), answer.text


def keda_chart(folder: Path) -> Path:
    """KEDA's definitions as a chart, in the place of its own chart, which nothing here can fetch."""
    chart = folder / "keda"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": "keda", "version": KEDA_VERSION}))
    (chart / "templates" / "crd.yaml").write_text(_KEDA.read_text())
    return chart


def stand_in_for_the_login(tools: Path, command: Sequence[str], cluster: Cluster) -> None:
    """The cloud's own command, which gives a short-lived credential: here the administrator's, and only to the very same words."""
    certificate, key = ((cluster.folder / f"admin.{kind}").read_text() for kind in ("crt", "key"))
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "kind": "ExecCredential",
        "status": {"clientCertificateData": certificate, "clientKeyData": key},
    }
    program, *words = command
    said = tools / "credential.json"
    said.write_text(json.dumps(credential))
    script = tools / program
    script.write_text(f'#!/bin/sh\n[ "$*" = {shlex.quote(" ".join(words))} ] || exit 64\ncat {said}\n')
    script.chmod(0o755)


def address(cluster: Cluster) -> Kubernetes:
    """A cluster as the stand-in of a cloud tells of it."""
    return Kubernetes(f"127.0.0.1:{cluster.port}", base64.b64encode((cluster.folder / "ca.crt").read_bytes()).decode())
