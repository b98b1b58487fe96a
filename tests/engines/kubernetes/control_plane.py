"""A real Kubernetes control plane: etcd, apiserver, controller-manager, scheduler."""

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import requests
import yaml

from tests.engines.pki import Authority, signing_keys
from tests.engines.processes import Server, binary, free_port, wait_until

_BUILD = "tests/engines/kubernetes/build.sh"


class ControlPlane:
    """One cluster's servers; about 500 MB, ready in a few seconds. Who runs its pods is another matter.

    The API listens at ``address``. ``kubeconfig`` is the administrator's. Nothing outlives :meth:`stop` but the folder.
    """

    def __init__(self, name: str, folder: Path, address: str = "127.0.0.1") -> None:
        self.name = name
        self.folder = folder
        self.address = address
        self.port = free_port()
        self.kubeconfig = folder / "kubeconfig"
        self._authority = Authority(f"{name} authority")
        self._servers: dict[str, Server] = {}

    def start(self) -> Self:
        """Start everything, and wait until objects can be made."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._certificates()
        etcd, peer = free_port(), free_port()
        self._start(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
        )
        api = self._start(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            f"--bind-address={self.address}",
            f"--advertise-address={self.address}",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.port}",
            f"--tls-cert-file={self.folder / 'apiserver.crt'}",
            f"--tls-private-key-file={self.folder / 'apiserver.key'}",
            f"--client-ca-file={self.folder / 'ca.crt'}",
            f"--service-account-key-file={self.folder / 'accounts.pub'}",
            f"--service-account-signing-key-file={self.folder / 'accounts.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=Node,RBAC",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-client-certificate={self.folder / 'admin.crt'}",
            f"--kubelet-client-key={self.folder / 'admin.key'}",
        )
        api.wait_for(lambda: self._kubectl(["get", "--raw", "/readyz"]).returncode == 0, 90)
        self._start(
            "kube-controller-manager",
            f"--kubeconfig={self.folder / 'kube-controller-manager.kubeconfig'}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={free_port()}",
            f"--service-account-private-key-file={self.folder / 'accounts.key'}",
            f"--root-ca-file={self.folder / 'ca.crt'}",
            "--use-service-account-credentials",
        )
        self._start(
            "kube-scheduler",
            f"--kubeconfig={self.folder / 'kube-scheduler.kubeconfig'}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={free_port()}",
        )
        wait_until(lambda: self._kubectl(["get", "serviceaccount", "default"]).returncode == 0, 30, "the default service account")
        return self

    def stop(self) -> None:
        for server in reversed(self._servers.values()):
            server.stop()

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """What kubectl says; a refusal is an error with its words."""
        done = self._kubectl(list(words), stdin)
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def get(self, kind: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        """The objects of a kind in a namespace."""
        words = ["get", kind, "-n", namespace, "-o", "json", *([f"--selector={selector}"] if selector else [])]
        items: list[dict[str, Any]] = json.loads(self.kubectl(*words))["items"]
        return items

    def pods(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """The pods that a selector finds, in all namespaces for an empty one. No program is started: it is for those who look often.

        Raises:
            requests.RequestException: the API does not answer within five seconds, or refuses.
        """
        url = f"https://{self.address}:{self.port}/api/v1/{f'namespaces/{namespace}/' if namespace else ''}pods"
        login = (str(self.folder / "admin.crt"), str(self.folder / "admin.key"))
        answer = requests.get(url, params={"labelSelector": selector}, cert=login, verify=str(self.folder / "ca.crt"), timeout=5)
        answer.raise_for_status()
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    def api_hangs(self) -> None:
        """The API takes connections and says nothing: a cut network behind a load balancer."""
        self._servers["kube-apiserver"].pause()

    def api_answers_again(self) -> None:
        self._servers["kube-apiserver"].resume()

    def api_refuses(self) -> None:
        """The API is gone: connections are refused."""
        self._servers["kube-apiserver"].kill()

    def api_returns(self) -> None:
        """Start a killed API again on its old data."""
        api = self._servers["kube-apiserver"].start()
        api.wait_for(lambda: self._kubectl(["get", "--raw", "/readyz"]).returncode == 0, 90)

    def _kubectl(self, words: list[str], stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = ["kubectl", f"--kubeconfig={self.kubeconfig}", *words]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        return subprocess.run(command, input=stdin, env=environment, capture_output=True, text=True, check=False)

    def write_kubeconfig(self, file: str, user: str, group: str = "") -> Path:
        """A kubeconfig in the cluster's folder for whoever it names."""
        pair = self._authority.client(user, group)
        cluster = {
            "server": f"https://{self.address}:{self.port}",
            "certificate-authority-data": _base64(self._authority.certificate),
        }
        login = {"client-certificate-data": _base64(pair.certificate), "client-key-data": _base64(pair.key)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": self.name, "cluster": cluster}],
            "users": [{"name": user, "user": login}],
            "contexts": [{"name": self.name, "context": {"cluster": self.name, "user": user}}],
            "current-context": self.name,
        }
        path = self.folder / file
        path.write_text(yaml.safe_dump(config))
        if user == "admin":
            (self.folder / "admin.crt").write_bytes(pair.certificate)
            (self.folder / "admin.key").write_bytes(pair.key)
        return path

    def _start(self, name: str, *words: str) -> Server:
        self._servers[name] = Server(name, [binary(name, _BUILD), *words], self.folder).start()
        return self._servers[name]

    def _certificates(self) -> None:
        api = self._authority.server("kube-apiserver", [self.address, "10.96.0.1", "localhost", "kubernetes.default.svc"])
        private, public = signing_keys()
        for name, content in {
            "ca.crt": self._authority.certificate,
            "apiserver.crt": api.certificate,
            "apiserver.key": api.key,
            "accounts.key": private,
            "accounts.pub": public,
        }.items():
            (self.folder / name).write_bytes(content)
        self.write_kubeconfig("kubeconfig", "admin", "system:masters")
        for name in ("kube-controller-manager", "kube-scheduler"):
            self.write_kubeconfig(f"{name}.kubeconfig", f"system:{name}")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
