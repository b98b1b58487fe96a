"""The pod that trains, and the smoke Job's like it: an unprivileged user, nothing writable but its scratch, one GPU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lorafleet.contracts.site import Site
from pipelines.manifests.release import DIGEST

USER = 10001
GPU = "nvidia.com/gpu"
SCRATCH = "/scratch"
SHARED = "/shared"


@dataclass(frozen=True)
class Resources:
    """What one pod asks for and may use beside its GPU, as Kubernetes writes quantities. CPU has no limit: it would only throttle."""

    cpu: str = "2"
    memory: str = "12Gi"
    memory_limit: str = "24Gi"
    scratch: str = "40Gi"
    shared_memory: str = "2Gi"

    def to_json(self) -> dict[str, Any]:
        """The container's ``resources``."""
        disk = {"ephemeral-storage": self.scratch, GPU: "1"}
        return {
            "requests": {"cpu": self.cpu, "memory": self.memory, **disk},
            "limits": {"memory": self.memory_limit, **disk},
        }


@dataclass(frozen=True)
class Container:
    """A container of the trainer's image. ``extra`` are keys such as probes and ports."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    mounts: Sequence[Mapping[str, Any]] = ()


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
        {"name": "scratch", "emptyDir": {"sizeLimit": resources.scratch}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": resources.shared_memory}},
    ]
    if site.shared_volume is not None:
        mounts.append({"name": "shared", "mountPath": SHARED})
        own.append({"name": "shared", "persistentVolumeClaim": {"claimName": site.shared_volume.claim}})

    def container(described: Container) -> dict[str, Any]:
        return {
            "name": described.name,
            "image": image(site, image_name),
            "imagePullPolicy": "IfNotPresent",
            "command": list(described.command),
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
        "tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}],
        "containers": [container(described) for described in containers],
        "volumes": [*own, *map(dict, volumes)],
        **extra,
    }
    return spec
