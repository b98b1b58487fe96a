"""The pod that trains, and the smoke Job's like it: an unprivileged user, nothing writable but its scratch, its GPUs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lorafleet.contracts.site import Cloud, Site
from pipelines.manifests.release import DIGEST

USER = 10001
GPU = "nvidia.com/gpu"
SCRATCH = "/scratch"
SHARED = "/shared"


@dataclass(frozen=True)
class Resources:
    """What one pod asks for and may use. Memory and disk are GiB for each of its GPUs; CPU has no limit: it would only throttle."""

    gpus: int = 1
    cpu: int = 2
    memory: int = 12
    memory_limit: int = 24
    scratch: int = 40
    shared_memory: int = 2

    def to_json(self) -> dict[str, Any]:
        """The container's ``resources``."""
        disk = {"ephemeral-storage": self.gib(self.scratch), GPU: str(self.gpus)}
        return {
            "requests": {"cpu": str(self.gpus * self.cpu), "memory": self.gib(self.memory), **disk},
            "limits": {"memory": self.gib(self.memory_limit), **disk},
        }

    def gib(self, of_each: int) -> str:
        """A quantity for all GPUs together."""
        return f"{self.gpus * of_each}Gi"


@dataclass(frozen=True)
class Container:
    """A container of the trainer's image. ``extra`` are keys such as probes and ports.

    ``words`` go to the image's own entry, ``tini -- lorafleet``: a ``command`` in their place would make the worker the first process,
    which the kernel spares signals that it does not handle yet, and which must bury what others leave behind.
    """

    name: str
    words: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    mounts: Sequence[Mapping[str, Any]] = ()


def _own_taints(site: Site) -> tuple[str, ...]:
    """Taints that a cloud itself puts on its spot nodes."""
    return ("kubernetes.azure.com/scalesetpriority",) if site.cloud is Cloud.AZURE else ()


def image(site: Site, name: str) -> str:
    """The image in the site's own registry, by the digest that the run is given."""
    return f"{site.registry}/{name}@{DIGEST}"


def pod_spec(
    site: Site,
    image_name: str,
    containers: Sequence[Container],
    *,
    resources: Resources,
    volumes: Sequence[Mapping[str, Any]] = (),
    **extra: Any,
) -> dict[str, Any]:
    """A pod's ``spec``. ``extra`` are keys such as ``restartPolicy``; ``volumes`` come on top of scratch and shared volume."""
    mounts: list[dict[str, Any]] = [
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        {"name": "scratch", "mountPath": SCRATCH},
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
    ]
    own: list[dict[str, Any]] = [
        {"name": "tmp", "emptyDir": {"sizeLimit": "2Gi"}},
        {"name": "scratch", "emptyDir": {"sizeLimit": resources.gib(resources.scratch)}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": resources.gib(resources.shared_memory)}},
    ]
    if site.shared_volume is not None:
        mounts.append({"name": "shared", "mountPath": SHARED})
        own.append({"name": "shared", "persistentVolumeClaim": {"claimName": site.shared_volume.claim}})

    def container(described: Container) -> dict[str, Any]:
        return {
            "name": described.name,
            "image": image(site, image_name),
            "imagePullPolicy": "IfNotPresent",
            "args": list(described.words),
            "env": [{"name": name, "value": value} for name, value in described.env.items()],
            "resources": resources.to_json(),
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [*mounts, *map(dict, described.mounts)],
            **described.extra,
        }

    spec: dict[str, Any] = {
        "serviceAccountName": site.identities.trainer.service_account,
        # Each cloud's workload identity brings its own token; none of them needs the cluster's.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in (GPU, *_own_taints(site))],
        "containers": [container(described) for described in containers],
        "volumes": [*own, *map(dict, volumes)],
        **extra,
    }
    return spec
