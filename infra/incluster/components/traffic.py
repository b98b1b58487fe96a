"""What may pass in and out of a namespace that denies all else, in the SDK's types."""

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

import pulumi
from pulumi_kubernetes import meta, networking
from pulumi_kubernetes.networking.v1 import NetworkPolicyEgressRuleArgs as Egress
from pulumi_kubernetes.networking.v1 import NetworkPolicyIngressRuleArgs as Ingress
from pulumi_kubernetes.networking.v1 import NetworkPolicyPeerArgs as Peer

from infra.incluster.components.pods import metadata
from infra.incluster.naming import MONITORING, PROMETHEUS_PORT, PROMETHEUS_URL, SYSTEM
from lorafleet.contracts.site import Cloud

_NAMESPACE = "kubernetes.io/metadata.name"  # Kubernetes puts it on every namespace.

IDENTITY: Mapping[Cloud, Mapping[str, int]] = {
    # The agents on the node that give a pod its cloud identity; Azure's is asked at its public address by 443.
    Cloud.AWS: {"169.254.170.23/32": 80},
    Cloud.GCP: {"169.254.169.254/32": 80, "169.254.169.252/32": 988},
}


def policy(
    resource: str,
    name: str,
    component: str,
    namespace: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    *,
    pods: Mapping[str, str] | None = None,
    ingress: Sequence[Ingress] = (),
    egress: Sequence[Egress] = (),
) -> networking.v1.NetworkPolicy:
    """A policy for the pods with these labels, or for all of the namespace."""
    kinds = [kind for kind, rules in (("Ingress", ingress), ("Egress", egress)) if rules]
    return networking.v1.NetworkPolicy(
        resource,
        metadata=metadata(name, component, namespace),
        spec=networking.v1.NetworkPolicySpecArgs(
            pod_selector=meta.v1.LabelSelectorArgs(match_labels=dict(pods) if pods else None),
            policy_types=list(kinds),
            ingress=list(ingress) or None,
            egress=list(egress) or None,
        ),
        opts=opts,
    )


def resolving(dns_ranges: Iterable[str]) -> Egress:
    """To the cluster's resolvers, and those outside of its network."""
    ports = [_port(53, "UDP"), _port(53)]
    return Egress(to=[in_namespace(SYSTEM), *map(block, dns_ranges)], ports=ports)


def to_ports(*ports: int) -> Egress:
    """To these ports, wherever."""
    return Egress(ports=[_port(port) for port in ports])


def to(peers: Sequence[Peer], *ports: int) -> Egress:
    """To these ports of somebody."""
    return Egress(to=list(peers), ports=[_port(port) for port in ports])


def to_identity(cloud: Cloud) -> list[Egress]:
    """To the cloud's identity agent on the node, where there is one."""
    return [to([block(address)], port) for address, port in IDENTITY.get(cloud, {}).items()]


def to_prometheus(url: str) -> Egress:
    """To the stack's own Prometheus, or to the port of one that is there already."""
    if url == PROMETHEUS_URL:
        return to([in_namespace(MONITORING)], PROMETHEUS_PORT)
    return to_ports(port_of(url))


def port_of(url: str) -> int:
    """The port of an http(s) address."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def from_(peers: Sequence[Peer], *ports: int) -> Ingress:
    """From somebody to these ports."""
    return Ingress(from_=list(peers), ports=[_port(port) for port in ports])


def from_anywhere(*ports: int) -> Ingress:
    """To these ports from wherever; for the cluster's API server, which no selector names."""
    return Ingress(ports=[_port(port) for port in ports])


def in_namespace(namespace: pulumi.Input[str], pods: Mapping[str, str] | None = None) -> Peer:
    """The pods of a namespace, or those with these labels."""
    return Peer(
        namespace_selector=meta.v1.LabelSelectorArgs(match_labels={_NAMESPACE: namespace}),
        pod_selector=meta.v1.LabelSelectorArgs(match_labels=dict(pods)) if pods else None,
    )


def block(cidr: str) -> Peer:
    """A range of addresses."""
    return Peer(ip_block=networking.v1.IPBlockArgs(cidr=cidr))


def _port(number: int, protocol: str = "TCP") -> networking.v1.NetworkPolicyPortArgs:
    return networking.v1.NetworkPolicyPortArgs(port=number, protocol=protocol)
