"""A network of one subnet, with ranges for pods and services, and a NAT without fixed machines."""

from dataclasses import dataclass

import pulumi
from pulumi_gcp import compute

from infra.addresses import RegionRanges
from infra.components.component import Component

PODS = "pods"
SERVICES = "services"


@dataclass(frozen=True)
class GcpNetworkProps:
    """The ranges that a site's own is cut into."""

    project: str
    region: str
    ranges: RegionRanges


class GcpNetwork(Component):
    """Nodes reach Google's services privately, and everything else through the NAT."""

    def __init__(self, name: str, props: GcpNetworkProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("network:Gcp", name, opts)
        network = compute.Network(
            name, project=props.project, auto_create_subnetworks=False, routing_mode="REGIONAL", opts=self.child()
        )
        subnet = compute.Subnetwork(
            name,
            project=props.project,
            region=props.region,
            network=network.id,
            ip_cidr_range=str(props.ranges.nodes),
            private_ip_google_access=True,
            secondary_ip_ranges=[
                compute.SubnetworkSecondaryIpRangeArgs(range_name=PODS, ip_cidr_range=str(props.ranges.pods)),
                compute.SubnetworkSecondaryIpRangeArgs(range_name=SERVICES, ip_cidr_range=str(props.ranges.services)),
            ],
            opts=self.child(),
        )
        router = compute.Router(name, project=props.project, region=props.region, network=network.id, opts=self.child())
        self.nat: pulumi.Resource = compute.RouterNat(
            name,
            project=props.project,
            region=props.region,
            router=router.name,
            nat_ip_allocate_option="AUTO_ONLY",
            source_subnetwork_ip_ranges_to_nat="ALL_SUBNETWORKS_ALL_IP_RANGES",
            log_config=compute.RouterNatLogConfigArgs(enable=True, filter="ERRORS_ONLY"),
            opts=self.child(),
        )
        self.network_id: pulumi.Output[str] = network.id
        self.network_name: pulumi.Output[str] = network.name
        self.subnet_id: pulumi.Output[str] = subnet.id
        self.register_outputs({"network_id": self.network_id})
