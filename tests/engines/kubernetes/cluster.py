"""A site's Kubernetes: a real control plane, and nodes with GPUs whose pods kwok plays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.engines.kubernetes.control_plane import ControlPlane
from tests.engines.kubernetes.faults import Fault
from tests.engines.processes import free_port

_HERE = Path(__file__).parent
GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


class Cluster(ControlPlane):
    """A control plane with kwok; about 600 MB."""

    def start(self) -> Self:
        """Start the control plane, then kwok with its usual stages. There is no node yet: see :meth:`add_gpu_node`."""
        super().start()
        self.kubectl("apply", "-f", str(_HERE / "stage-crd.yaml"))
        self.kubectl("wait", "--for=condition=Established", "crd/stages.kwok.x-k8s.io", "--timeout=30s")
        self.kubectl("apply", "-f", str(_HERE / "stages.yaml"))
        self._start(
            "kwok",
            f"--kubeconfig={self.kubeconfig}",
            "--manage-all-nodes=true",
            "--enable-crds=Stage",
            "--node-lease-duration-seconds=40",
            f"--server-address=127.0.0.1:{free_port()}",
        )
        return self

    def add_gpu_node(self, name: str, gpus: int = 4, labels: Mapping[str, str] | None = None) -> None:
        """A node with GPUs, tainted as GPU nodes are, Ready as soon as kwok saw it."""
        room = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "1Ti", "pods": "110", "nvidia.com/gpu": str(gpus)}
        zone = {"topology.kubernetes.io/zone": f"{self.name}-a", "kubernetes.io/hostname": name, "nvidia.com/gpu.present": "true"}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {**zone, **(labels or {})}},
            "spec": {"taints": [GPU_TAINT]},
            "status": {"allocatable": room, "capacity": room},
        }
        self.apply(node)
        self.kubectl("wait", "--for=condition=Ready", f"node/{name}", "--timeout=30s")

    def break_pods(self, fault: Fault) -> None:
        """From now on pods that start and match ``fault`` go its way."""
        self.apply(*fault.stages())

    def mend_pods(self, fault: Fault) -> None:
        """Pods that start from now on are well again."""
        self.kubectl("delete", "stage", *(stage["metadata"]["name"] for stage in fault.stages()))
