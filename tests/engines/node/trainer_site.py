"""A site of the fleet on a real node: what infra would have made there, and around it registry, name server and console."""

import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from lorafleet.contracts.site import Site
from pipelines.compile import compile_fleet
from pipelines.manifests.pod import USER
from pipelines.manifests.worker import ENROLMENT_SECRET
from tests.engines.delivery import fleet
from tests.engines.delivery.tls_front import TlsFront
from tests.engines.docker_registry import DockerRegistry
from tests.engines.image.builds import Builds
from tests.engines.image.console_container import ConsoleContainer
from tests.engines.node.names import Names
from tests.engines.node.node import Node
from tests.engines.pki import Authority
from tests.unit.pipelines.simulated_spel import interpolate

NAME = "frankfurt"
NAMESPACE = "lora"
_CONSOLE = "console.lorafleet.test"
_REGISTRY = "registry.lorafleet.test"
_IMAGE = "lora-trainer"


class TrainerSite:
    """``digest`` is the trainer's image in the site's registry; ``shared`` the shared volume. Only the node trusts the console's
    certificate: its containers are given the authority's, as where a company has one of its own.
    """

    def __init__(self, folder: Path, builds: Builds, trainer: str, console: str) -> None:
        self.shared = folder / "shared"
        self.digest = ""
        self.url = ""
        self._folder = folder
        self._builds = builds
        self._trainer = trainer
        self._authority = Authority("a company's own authority")
        self.node = Node(NAME, folder / "node", self._authority.certificate)
        self.console = ConsoleContainer(builds, console, folder)
        self._running = ExitStack()

    def start(self) -> Self:
        """All of it; no worker yet."""
        self._running.callback(self.node.stop)
        self.node.start()
        address = self.node.address
        registry = DockerRegistry(self._folder, address=address)
        self._running.callback(shutil.rmtree, registry.data)
        self._running.callback(registry.stop)
        self.digest = self._push(f"{registry.host}/example/{_IMAGE}")
        self.node.add_registry(_REGISTRY, registry.host)
        front = TlsFront(_CONSOLE, self._authority, self._folder, self.console.port, address)
        self._running.callback(front.refuse)
        self._running.callback(Names(address, {_CONSOLE: address}).close)
        self.url = f"https://{_CONSOLE}:{front.port}"
        self._running.callback(self.console.stop)
        # Seconds in place of half a minute, so that a worker that was killed is missed soon.
        self.console.start(self.url, "--site", NAME, "--release", self.digest, "--lease-seconds", "8", "--grace-seconds", "2")
        self._furnish()
        return self

    def stop(self) -> None:
        """End everything, and give the disk back."""
        self._running.close()

    def deployment(self) -> dict[str, Any]:
        """The workers as the generated pipeline deploys them, once Orca has put the digest in."""
        clusters = [{"site": NAME, "targetSize": 1, "strategy": "bluegreen"}]
        image = f"registry.example.org/fleet/{_IMAGE}"
        spec = fleet.spec("loras", self.url, image=image, sites=[NAME], home=NAME, release={"clusters": clusters})
        release, _ = compile_fleet(spec, {NAME: self._facts()}).pipelines
        deployed = [each for stage in release.to_json()["stages"] for each in stage.get("manifests", [])]
        manifest, *_ = [each for each in deployed if each["kind"] == "Deployment"]
        found: dict[str, Any] = interpolate(manifest, {"parameters": {"image_digest": self.digest}})
        return found

    def deploy(self, deployment: dict[str, Any]) -> None:
        """Apply it and wait until its worker is ready and no other is left."""
        self.node.apply(deployment)
        try:
            self.node.kubectl(
                "rollout", "status", f"deployment/{deployment['metadata']['name']}", "-n", NAMESPACE, "--timeout=400s"
            )
        except RuntimeError as error:
            raise AssertionError(f"{error}\n{self.told()}") from None

    def pod(self) -> dict[str, Any]:
        """The worker's pod."""
        (pod,) = [each for each in self.node.get("pods", NAMESPACE) if "deletionTimestamp" not in each["metadata"]]
        return pod

    def execute(self, *words: str) -> str:
        """Run a command in the worker's container."""
        return self.node.kubectl("exec", "-n", NAMESPACE, self.pod()["metadata"]["name"], "--", *words)

    def kill_worker(self) -> None:
        """End every process of the worker's container at once, as a failing machine does."""
        container = self.pod()["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        self.node.ctr("tasks", "kill", "--all", "--signal", "SIGKILL", container)

    def told(self) -> str:
        """What Kubernetes and the pods say, for a failure's message."""
        pods = self.node.get("pods", NAMESPACE)
        logs = [self.node.kubectl("logs", pod["metadata"]["name"], "-n", NAMESPACE, "--tail=50", "--ignore-errors") for pod in pods]
        return "\n".join([self.node.kubectl("describe", "pods", "-n", NAMESPACE), *logs])

    def _facts(self) -> Site:
        """What the site's stack would export. There is no Prometheus, so that KEDA does not set the number of workers."""
        return fleet.site(self.node, NAMESPACE, f"{_REGISTRY}/example").model_copy(update={"prometheus": None})

    def _push(self, repository: str) -> str:
        told = self._folder / "pushed"
        # Packing it as Docker does, on its lowest level too, would take longer than all else together.
        packed = ["--dest-compress-format", "zstd", "--dest-compress-level", "1"]
        place = [f"containers-storage:{self._trainer}", f"docker://{repository}:test"]
        command = ["skopeo", "copy", "--quiet", *packed, "--dest-tls-verify=false", "--digestfile", str(told), *place]
        done = subprocess.run(command, env=self._builds.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return told.read_text().strip()

    def _furnish(self) -> None:
        self.shared.mkdir()
        os.chown(self.shared, USER, USER)
        enforced = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        shared = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
        self.node.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": enforced}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _named("trainer")},
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": _named(ENROLMENT_SECRET),
                "stringData": {"credential": self.console.credential(NAME)},
            },
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": "shared"},
                "spec": {**shared, "capacity": {"storage": "1Gi"}, "hostPath": {"path": str(self.shared), "type": "Directory"}},
            },
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": _named("shared"),
                "spec": {**shared, "volumeName": "shared", "resources": {"requests": {"storage": "1Gi"}}},
            },
        )


def _named(name: str) -> dict[str, str]:
    return {"name": name, "namespace": NAMESPACE}
