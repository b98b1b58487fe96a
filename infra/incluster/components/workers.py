"""What the workers find in their namespace: who they are, what they may reach, and the credential to enrol with."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import core
from pulumi_kubernetes.networking.v1 import NetworkPolicyEgressRuleArgs as Egress

from infra.incluster.components import traffic
from infra.incluster.components.inside import Inside
from infra.incluster.components.namespaces import Namespace
from infra.incluster.components.pods import metadata
from infra.incluster.naming import WORKER
from lorafleet.contracts.site import Cloud, TrainerIdentity

COMPONENT = "workers"


@dataclass(frozen=True)
class WorkersProps:
    """``dns_ranges`` are resolvers outside of the cluster."""

    home: Namespace
    cloud: Cloud
    identity: TrainerIdentity
    dns_ranges: tuple[str, ...]
    pull_secret: str | None


class Workers(Inside):
    """The account of the trainer's pods and the ways out of their namespace: 443, names, and the cloud's identity agent."""

    def __init__(self, name: str, props: WorkersProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("workers", name, props.home, opts)
        core.v1.ServiceAccount(
            f"{name}-{props.identity.service_account}",
            metadata=metadata(props.identity.service_account, WORKER, props.home.name, props.identity.annotations),
            automount_service_account_token=False,
            image_pull_secrets=[core.v1.LocalObjectReferenceArgs(name=props.pull_secret)] if props.pull_secret else None,
            opts=self.child(),
        )
        self._allow(name, "https", props, traffic.to_ports(443))
        self._allow(name, "dns", props, traffic.resolving(props.dns_ranges))
        if agent := traffic.to_identity(props.cloud):
            self._allow(name, "identity", props, *agent)
        self.register_outputs({})

    def _allow(self, name: str, what: str, props: WorkersProps, *egress: Egress) -> None:
        traffic.policy(f"{name}-{what}", what, COMPONENT, props.home.name, self.child(), egress=egress)
