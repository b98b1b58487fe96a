"""A namespace: pod security, nothing in or out by default, and a bound to what runs in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pulumi
from pulumi_kubernetes import core, meta, networking

from infra.components.component import Component
from infra.incluster.components.pods import metadata
from infra.incluster.naming import labels

LATEST = "latest"


@dataclass(frozen=True)
class NamespaceProps:
    """``room`` is its quota. ``level`` is *privileged* only for what drives the nodes' devices."""

    name: str
    component: str
    room: Mapping[str, str]
    protect: bool
    level: Literal["restricted", "privileged"] = "restricted"
    default_cpu: str = "100m"
    default_memory: str = "256Mi"


class Namespace(Component):
    """``ready`` is to be waited for by whatever runs in it: nothing may be there before what confines it."""

    def __init__(self, name: str, props: NamespaceProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("namespace:InCluster", name, opts)
        modes = ("enforce", "audit", "warn")
        security = {
            **{f"pod-security.kubernetes.io/{mode}": props.level for mode in modes},
            **{f"pod-security.kubernetes.io/{mode}-version": LATEST for mode in modes},
        }
        namespace = core.v1.Namespace(
            name,
            metadata=meta.v1.ObjectMetaArgs(name=props.name, labels={**labels(props.component), **security}),
            opts=self.child(protect=props.protect),
        )
        self.name = namespace.metadata.name
        deny = networking.v1.NetworkPolicy(
            f"{name}-deny",
            metadata=metadata("deny", props.component, self.name),
            spec=networking.v1.NetworkPolicySpecArgs(pod_selector=meta.v1.LabelSelectorArgs(), policy_types=["Ingress", "Egress"]),
            opts=self.child(),
        )
        quota = core.v1.ResourceQuota(
            f"{name}-room",
            metadata=metadata("room", props.component, self.name),
            spec=core.v1.ResourceQuotaSpecArgs(hard=dict(props.room)),
            opts=self.child(),
        )
        limits = core.v1.LimitRange(
            f"{name}-limits",
            metadata=metadata("limits", props.component, self.name),
            spec=core.v1.LimitRangeSpecArgs(
                limits=[
                    core.v1.LimitRangeItemArgs(
                        type="Container",
                        default_request={"cpu": props.default_cpu, "memory": props.default_memory},
                        default={"memory": props.default_memory},
                    )
                ]
            ),
            opts=self.child(),
        )
        self.ready: tuple[pulumi.Resource, ...] = (namespace, deny, quota, limits)
        self.register_outputs({"name": self.name})
