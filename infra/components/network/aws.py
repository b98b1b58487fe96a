"""VPC: private subnets for nodes, one public subnet a zone for NAT, and a free way to S3."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2

from infra.addresses import ZoneSubnets
from infra.components.component import Component

# By these the controllers of load balancers choose subnets; without them a Service that is exposed never gets an address.
_PUBLIC = {"kubernetes.io/role/elb": "1"}
_PRIVATE = {"kubernetes.io/role/internal-elb": "1"}


@dataclass(frozen=True)
class AwsNetworkProps:
    """``subnets`` are the zones, by zone id, with their ranges."""

    region: str
    cidr: str
    subnets: tuple[ZoneSubnets, ...]
    nat_per_zone: bool


class AwsNetwork(Component):
    """``private_subnets`` is by zone id."""

    def __init__(self, name: str, props: AwsNetworkProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("network:Aws", name, opts)
        vpc = ec2.Vpc(name, cidr_block=props.cidr, enable_dns_support=True, enable_dns_hostnames=True, opts=self.child())
        # The VPC's default group lets its members reach each other; taken over without rules it lets nobody.
        ec2.DefaultSecurityGroup(name, vpc_id=vpc.id, opts=self.child())
        gateway = ec2.InternetGateway(name, vpc_id=vpc.id, opts=self.child())
        out = ec2.RouteTable(f"{name}-public", vpc_id=vpc.id, opts=self.child())
        ec2.Route(
            f"{name}-public",
            route_table_id=out.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=gateway.id,
            opts=self.child(),
        )
        nats: list[ec2.NatGateway] = []
        for zone in props.subnets:
            label = f"{name}-public-{zone.zone}"
            public = ec2.Subnet(
                label,
                vpc_id=vpc.id,
                cidr_block=str(zone.public),
                availability_zone_id=zone.zone,
                map_public_ip_on_launch=False,
                tags=_PUBLIC,
                opts=self.child(),
            )
            ec2.RouteTableAssociation(label, route_table_id=out.id, subnet_id=public.id, opts=self.child())
            if props.nat_per_zone or not nats:
                address = ec2.Eip(label, domain="vpc", opts=self.child(depends_on=[gateway]))
                nats.append(
                    ec2.NatGateway(label, allocation_id=address.id, subnet_id=public.id, opts=self.child(depends_on=[gateway]))
                )
        subnets: dict[str, pulumi.Output[str]] = {}
        tables: list[pulumi.Output[str]] = []
        for number, zone in enumerate(props.subnets):
            label = f"{name}-private-{zone.zone}"
            private = ec2.Subnet(
                label,
                vpc_id=vpc.id,
                cidr_block=str(zone.private),
                availability_zone_id=zone.zone,
                map_public_ip_on_launch=False,
                tags=_PRIVATE,
                opts=self.child(),
            )
            table = ec2.RouteTable(label, vpc_id=vpc.id, opts=self.child())
            ec2.Route(
                label,
                route_table_id=table.id,
                destination_cidr_block="0.0.0.0/0",
                nat_gateway_id=nats[number if props.nat_per_zone else 0].id,
                opts=self.child(),
            )
            ec2.RouteTableAssociation(label, route_table_id=table.id, subnet_id=private.id, opts=self.child())
            subnets[zone.zone] = private.id
            tables.append(table.id)
        # Datasets and checkpoints would pay for each byte through the NAT gateway.
        ec2.VpcEndpoint(
            f"{name}-s3",
            vpc_id=vpc.id,
            service_name=f"com.amazonaws.{props.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=tables,
            opts=self.child(),
        )
        self.vpc_id: pulumi.Output[str] = vpc.id
        self.private_subnets: Mapping[str, pulumi.Output[str]] = subnets
        self.register_outputs({"vpc_id": self.vpc_id})
