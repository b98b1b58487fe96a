"""Filestore: in one zone, since nothing in it is the only copy."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import filestore

from infra.components.component import Component

SHARE = "shared"


@dataclass(frozen=True)
class GcpSharedFsProps:
    """``addresses`` is a range of the site that nothing else uses."""

    project: str
    zone: str
    network: pulumi.Input[str]
    addresses: str
    capacity_gib: int
    key_id: pulumi.Input[str]
    protect: bool


class GcpSharedFs(Component):
    """``handle`` is the Filestore driver's name of an instance that is there already."""

    def __init__(
        self, name: str, props: GcpSharedFsProps, opts: pulumi.ResourceOptions, *, depends_on: Sequence[pulumi.Resource]
    ) -> None:
        super().__init__("shared_fs:Gcp", name, opts)
        instance = filestore.Instance(
            name,
            project=props.project,
            location=props.zone,
            tier="ZONAL",
            protocol="NFS_V3",
            file_shares=filestore.InstanceFileSharesArgs(name=SHARE, capacity_gb=props.capacity_gib),
            networks=[
                filestore.InstanceNetworkArgs(
                    network=props.network,
                    modes=["MODE_IPV4"],
                    connect_mode="DIRECT_PEERING",
                    reserved_ip_range=props.addresses,
                )
            ],
            kms_key_name=props.key_id,
            deletion_protection_enabled=props.protect,
            opts=self.child(protect=props.protect, depends_on=depends_on),
        )
        self.server: pulumi.Output[str] = instance.networks[0].ip_addresses[0]
        self.handle: pulumi.Output[str] = pulumi.Output.concat(f"modeInstance/{props.zone}/", instance.name, f"/{SHARE}")
        self.register_outputs({"handle": self.handle})
