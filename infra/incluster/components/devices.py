"""What the nodes' GPUs need: NVIDIA's device plugin and DCGM exporter, each only where the cluster has none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import apps, core, meta

from infra.contract import Taint
from infra.incluster import naming
from infra.incluster.components import pods, traffic
from infra.incluster.components.inside import Inside
from infra.incluster.components.namespaces import Namespace

_NAME = "app.kubernetes.io/name"
_PLUGINS = "/var/lib/kubelet/device-plugins"
_POD_RESOURCES = "/var/lib/kubelet/pod-resources"


@dataclass(frozen=True)
class DeviceProps:
    """``nodes`` are the labels by which each pool's nodes are known; the pods run on all of them."""

    home: Namespace
    image: str
    pull_secret: str | None
    nodes: Sequence[Mapping[str, str]]
    taints: Sequence[Taint]


class DevicePlugin(Inside):
    """Tells each kubelet of its GPUs; without it no pod gets one."""

    def __init__(self, name: str, props: DeviceProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("device-plugin", name, props.home, opts)
        container = core.v1.ContainerArgs(
            name=name,
            image=props.image,
            resources=pods.Need("50m", "128Mi").args(),
            # It speaks to the kubelet by a socket that root owns.
            security_context=core.v1.SecurityContextArgs(
                run_as_user=0,
                allow_privilege_escalation=False,
                read_only_root_filesystem=True,
                capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
                seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
            ),
            volume_mounts=[core.v1.VolumeMountArgs(name="plugins", mount_path=_PLUGINS)],
        )
        _daemon_set(self, name, props, container, core.v1.VolumeArgs(name="plugins", host_path=_directory(_PLUGINS)))
        self.register_outputs({})


class DcgmExporter(Inside):
    """Use, memory, temperature and faults of each GPU, by the pod that has it."""

    def __init__(self, name: str, props: DeviceProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("dcgm-exporter", name, props.home, opts)
        container = core.v1.ContainerArgs(
            name=name,
            image=props.image,
            env=[
                core.v1.EnvVarArgs(name="DCGM_EXPORTER_LISTEN", value=f":{naming.DCGM_PORT}"),
                core.v1.EnvVarArgs(name="DCGM_EXPORTER_KUBERNETES", value="true"),
                core.v1.EnvVarArgs(name="NVIDIA_VISIBLE_DEVICES", value="all"),
            ],
            ports=[core.v1.ContainerPortArgs(name="metrics", container_port=naming.DCGM_PORT)],
            resources=pods.Need("100m", "512Mi").args(),
            # Profiling counters want SYS_ADMIN, and the kubelet's socket root.
            security_context=core.v1.SecurityContextArgs(
                run_as_user=0,
                run_as_non_root=False,
                capabilities=core.v1.CapabilitiesArgs(add=["SYS_ADMIN"], drop=["ALL"]),
                seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
            ),
            readiness_probe=pods.http_probe("/health", "metrics", every=15, failures=4),
            volume_mounts=[core.v1.VolumeMountArgs(name="pod-resources", mount_path=_POD_RESOURCES, read_only=True)],
        )
        _daemon_set(self, name, props, container, core.v1.VolumeArgs(name="pod-resources", host_path=_directory(_POD_RESOURCES)))
        traffic.policy(
            name,
            name,
            name,
            props.home.name,
            self.child(),
            pods=naming.selector(name),
            ingress=[traffic.from_([traffic.in_namespace(naming.MONITORING)], naming.DCGM_PORT)],
        )
        self.register_outputs({})


def _directory(path: str) -> core.v1.HostPathVolumeSourceArgs:
    return core.v1.HostPathVolumeSourceArgs(path=path, type="Directory")


def _daemon_set(
    component: Inside, name: str, props: DeviceProps, container: core.v1.ContainerArgs, volume: core.v1.VolumeArgs
) -> None:
    account = core.v1.ServiceAccount(
        name, metadata=pods.metadata(name, name, props.home.name), automount_service_account_token=False, opts=component.child()
    )
    labels = {**naming.selector(name), _NAME: name}
    terms = [
        core.v1.NodeSelectorTermArgs(
            match_expressions=[
                core.v1.NodeSelectorRequirementArgs(key=key, operator="In", values=[value]) for key, value in sorted(each.items())
            ]
        )
        for each in props.nodes
    ]
    affinity = core.v1.NodeAffinityArgs(
        required_during_scheduling_ignored_during_execution=core.v1.NodeSelectorArgs(node_selector_terms=terms)
    )
    apps.v1.DaemonSet(
        name,
        metadata=pods.metadata(name, name, props.home.name),
        spec=apps.v1.DaemonSetSpecArgs(
            selector=meta.v1.LabelSelectorArgs(match_labels=labels),
            template=core.v1.PodTemplateSpecArgs(
                metadata=meta.v1.ObjectMetaArgs(labels=labels),
                spec=core.v1.PodSpecArgs(
                    service_account_name=account.metadata.name,
                    automount_service_account_token=False,
                    image_pull_secrets=[core.v1.LocalObjectReferenceArgs(name=props.pull_secret)] if props.pull_secret else None,
                    # Before any pod that wants a GPU, and never evicted for one.
                    priority_class_name="system-node-critical",
                    affinity=core.v1.AffinityArgs(node_affinity=affinity),
                    tolerations=pods.tolerations(props.taints),
                    containers=[container],
                    volumes=[volume],
                ),
            ),
        ),
        opts=component.child(),
    )
