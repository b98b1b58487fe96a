"""A virtual network with one subnet for nodes, closed to the outside, and a NAT gateway."""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import network

from infra.components.azure_group import AzureGroup
from infra.components.component import Component


@dataclass(frozen=True)
class AzureNetworkProps:
    """``nodes`` is the part of ``cidr`` that the nodes are in."""

    group: AzureGroup
    cidr: str
    nodes: str


class AzureNetwork(Component):
    """``egress`` is the one address that the site is seen by."""

    def __init__(self, name: str, props: AzureNetworkProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("network:Azure", name, opts)
        group = props.group
        closed = network.NetworkSecurityGroup(name, resource_group_name=group.name, location=group.region, opts=self.child())
        address = network.PublicIPAddress(
            name,
            resource_group_name=group.name,
            location=group.region,
            sku=network.PublicIPAddressSkuArgs(name=network.PublicIPAddressSkuName.STANDARD),
            public_ip_allocation_method=network.IPAllocationMethod.STATIC,
            opts=self.child(),
        )
        nat = network.NatGateway(
            name,
            resource_group_name=group.name,
            location=group.region,
            sku=network.NatGatewaySkuArgs(name=network.NatGatewaySkuName.STANDARD),
            public_ip_addresses=[network.SubResourceArgs(id=address.id)],
            opts=self.child(),
        )
        vnet = network.VirtualNetwork(
            name,
            resource_group_name=group.name,
            location=group.region,
            address_space=network.AddressSpaceArgs(address_prefixes=[props.cidr]),
            # An update that names no subnets would delete those made apart.
            opts=self.child(ignore_changes=["subnets"]),
        )
        nodes = network.Subnet(
            name,
            resource_group_name=group.name,
            virtual_network_name=vnet.name,
            subnet_name="nodes",
            address_prefix=props.nodes,
            default_outbound_access=False,
            nat_gateway=network.SubResourceArgs(id=nat.id),
            network_security_group=network.NetworkSecurityGroupArgs(id=closed.id),
            # The shared files answer this subnet only.
            service_endpoints=[network.ServiceEndpointPropertiesFormatArgs(service="Microsoft.Storage")],
            opts=self.child(),
        )
        self.subnet_id: pulumi.Output[str] = nodes.id
        self.vnet_id: pulumi.Output[str] = vnet.id
        self.egress: pulumi.Output[str] = address.ip_address
        self.register_outputs({"subnet_id": self.subnet_id})
