"""Encrypted disks that outlive their claim, of each cloud; EKS has no class of disks by default at all."""

from collections.abc import Mapping

import pulumi
from pulumi_kubernetes import storage

from infra.components.component import Component
from infra.incluster.components.pods import metadata
from lorafleet.contracts.site import Cloud

_KINDS: Mapping[Cloud, tuple[str, Mapping[str, str]]] = {
    Cloud.AWS: ("ebs.csi.aws.com", {"type": "gp3", "encrypted": "true"}),
    # Google and Azure encrypt every disk.
    Cloud.GCP: ("pd.csi.storage.gke.io", {"type": "pd-balanced"}),
    Cloud.AZURE: ("disk.csi.azure.com", {"skuName": "Premium_LRS"}),
}
COMPONENT = "disks"


class Disks(Component):
    """``storage_class`` is for what the site itself keeps; None in a cluster of one's own, whose default class is meant."""

    def __init__(self, name: str, cloud: Cloud, opts: pulumi.ResourceOptions) -> None:
        super().__init__("disks:InCluster", name, opts)
        self.storage_class = disk_class(name, "lorafleet-disks", COMPONENT, cloud, self.child())
        self.register_outputs({})


def disk_class(resource: str, name: str, component: str, cloud: Cloud, opts: pulumi.ResourceOptions) -> pulumi.Output[str] | None:
    """A class of the cloud's disks, by its name; none in a cluster whose disks nobody knows."""
    known = _KINDS.get(cloud)
    if known is None:
        return None
    provisioner, parameters = known
    made = storage.v1.StorageClass(
        resource,
        metadata=metadata(name, component),
        provisioner=provisioner,
        parameters=dict(parameters),
        reclaim_policy="Retain",
        volume_binding_mode="WaitForFirstConsumer",
        allow_volume_expansion=True,
        opts=opts,
    )
    own: pulumi.Output[str] = made.metadata.name
    return own
