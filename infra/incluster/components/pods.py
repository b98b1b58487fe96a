"""What all pods of the stack have in common: they run as nobody in particular, with what pod security *restricted* asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_kubernetes import core, meta

from infra.contract import Taint
from infra.incluster.naming import labels

USER = 10001
TMP = "/tmp"  # noqa: S108
_AUTHORITY = "/authority"
AUTHORITY_KEY = "ca.crt"
AUTHORITY_FILE = f"{_AUTHORITY}/{AUTHORITY_KEY}"
DO_NOT_WAIT = {"pulumi.com/skipAwait": "true"}
"""Where Pulumi would wait in vain: a claim's volume is often made when its first pod wants it, and a pod that mounts a Secret made by
another hand starts when it is there, which is after this stack has made the namespace."""


@dataclass(frozen=True)
class Need:
    """What a container asks for; memory is also the most that it may take."""

    cpu: str
    memory: str

    def args(self) -> core.v1.ResourceRequirementsArgs:
        """The container's ``resources``. CPU has no limit: it would only throttle."""
        return core.v1.ResourceRequirementsArgs(requests={"cpu": self.cpu, "memory": self.memory}, limits={"memory": self.memory})


@dataclass(frozen=True)
class Volume:
    """A volume and where a pod's containers mount it."""

    source: core.v1.VolumeArgs
    path: str
    read_only: bool = False


@dataclass(frozen=True)
class Container:
    """A container with a read-only root. ``args`` follow the image's own entry point; ``env_from`` is a Secret of variables."""

    name: str
    image: pulumi.Input[str]
    need: Need
    args: Sequence[pulumi.Input[str]] = ()
    command: Sequence[str] = ()
    env: Sequence[core.v1.EnvVarArgs] = ()
    env_from: str | None = None
    ports: Mapping[str, int] = field(default_factory=dict)
    volumes: Sequence[Volume] = ()
    readiness: core.v1.ProbeArgs | None = None
    liveness: core.v1.ProbeArgs | None = None

    def to_args(self) -> core.v1.ContainerArgs:
        """As the SDK takes it."""
        return core.v1.ContainerArgs(
            name=self.name,
            image=self.image,
            command=list(self.command) or None,
            args=list(self.args) or None,
            env=list(self.env) or None,
            env_from=[core.v1.EnvFromSourceArgs(secret_ref=core.v1.SecretEnvSourceArgs(name=self.env_from))]
            if self.env_from
            else None,
            ports=[core.v1.ContainerPortArgs(name=name, container_port=port) for name, port in self.ports.items()] or None,
            resources=self.need.args(),
            security_context=core.v1.SecurityContextArgs(
                allow_privilege_escalation=False,
                read_only_root_filesystem=True,
                capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
            ),
            volume_mounts=[
                core.v1.VolumeMountArgs(name=each.source.name, mount_path=each.path, read_only=each.read_only or None)
                for each in self.volumes
            ]
            or None,
            readiness_probe=self.readiness,
            liveness_probe=self.liveness,
        )


def restricted_pod(
    containers: Sequence[Container],
    *,
    account: pulumi.Input[str],
    token: bool,
    pull_secret: str | None,
    node_labels: Mapping[str, str],
    user: int = USER,
    init: Sequence[Container] = (),
    restart_policy: str | None = None,
) -> core.v1.PodSpecArgs:
    """A pod's ``spec``; ``token`` says whether its processes speak to the cluster's API."""
    volumes = {str(each.source.name): each.source for one in (*init, *containers) for each in one.volumes}
    return core.v1.PodSpecArgs(
        service_account_name=account,
        automount_service_account_token=token,
        enable_service_links=False,
        image_pull_secrets=[core.v1.LocalObjectReferenceArgs(name=pull_secret)] if pull_secret else None,
        node_selector=dict(node_labels) or None,
        restart_policy=restart_policy,
        security_context=core.v1.PodSecurityContextArgs(
            run_as_non_root=True,
            run_as_user=user,
            run_as_group=user,
            fs_group=user,
            fs_group_change_policy="OnRootMismatch",
            seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
        ),
        init_containers=[each.to_args() for each in init] or None,
        containers=[each.to_args() for each in containers],
        volumes=list(volumes.values()) or None,
    )


def metadata(
    name: str, component: str, namespace: pulumi.Input[str] | None = None, annotations: Mapping[str, str] | None = None
) -> meta.v1.ObjectMetaArgs:
    """Metadata of an object of a component."""
    return meta.v1.ObjectMetaArgs(
        name=name, namespace=namespace, labels=labels(component), annotations=dict(annotations) if annotations else None
    )


def empty_dir(name: str, path: str, *, limit: str, memory: bool = False) -> Volume:
    """Room for a container's own files; it goes with the pod."""
    source = core.v1.EmptyDirVolumeSourceArgs(size_limit=limit, medium="Memory" if memory else None)
    return Volume(core.v1.VolumeArgs(name=name, empty_dir=source), path)


def config_map(name: str, config: pulumi.Input[str], path: str) -> Volume:
    """The files of a ConfigMap."""
    return Volume(core.v1.VolumeArgs(name=name, config_map=core.v1.ConfigMapVolumeSourceArgs(name=config)), path, read_only=True)


def secret(name: str, secret_name: str, path: str) -> Volume:
    """The files of a Secret, for the pod's user and nobody else of its node."""
    source = core.v1.SecretVolumeSourceArgs(secret_name=secret_name, default_mode=0o440)
    return Volume(core.v1.VolumeArgs(name=name, secret=source), path, read_only=True)


def authority(config: pulumi.Input[str]) -> Volume:
    """A ConfigMap with the certificate authority ``ca.crt``, mounted as :data:`AUTHORITY_FILE`."""
    return config_map("authority", config, _AUTHORITY)


def claim(name: str, claim_name: pulumi.Input[str], path: str) -> Volume:
    """A claimed volume."""
    source = core.v1.PersistentVolumeClaimVolumeSourceArgs(claim_name=claim_name)
    return Volume(core.v1.VolumeArgs(name=name, persistent_volume_claim=source), path)


def http_probe(path: str, port: str, *, every: int, failures: int) -> core.v1.ProbeArgs:
    """Asks by HTTP."""
    return core.v1.ProbeArgs(
        http_get=core.v1.HTTPGetActionArgs(path=path, port=port),
        period_seconds=every,
        failure_threshold=failures,
        timeout_seconds=5,
    )


def tolerations(taints: Sequence[Taint]) -> list[core.v1.TolerationArgs]:
    """For what runs on GPU nodes too."""
    return [core.v1.TolerationArgs(key=taint.key, operator="Exists", effect=taint.effect) for taint in taints]
