"""What a cluster's objects cost: the volumes and balancers that the cloud makes for them."""

from collections.abc import Iterator, Sequence

from infra.cost.meter import Meter, Metering, Steady
from infra.cost.recording import Resource

_DISKS = {"aws": "gp3 disk", "gcp": "balanced disk", "azure": "system disk"}
_UNITS = {"Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def metering(cloud: str) -> Metering:
    """In a cluster of one's own nothing is asked for; in a cloud's, volumes and balancers are."""
    disk = _DISKS.get(cloud)
    if disk is None:
        return Metering(priced={}, free=frozenset(), rest_is_free=True)

    def volume(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
        spec = resource.inputs["spec"]
        # One that names its volume is bound to a file system that is counted in the cloud's stack.
        if "volumeName" not in spec:
            size = _gib(spec["resources"]["requests"]["storage"])
            yield Steady(f"volume {resource.name}", disk, size, size)

    def volumes(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
        spec = resource.inputs["spec"]
        count = spec.get("replicas", 1)
        for template in spec.get("volumeClaimTemplates") or ():
            size = count * _gib(template["spec"]["resources"]["requests"]["storage"])
            yield Steady(f"volumes of {resource.name}", disk, size, size)

    def service(resource: Resource, _: Sequence[Resource]) -> Iterator[Meter]:
        if resource.inputs["spec"].get("type") == "LoadBalancer":
            yield Steady(f"load balancer of {resource.name}", "load balancer", 1, 1)

    return Metering(
        priced={
            "kubernetes:core/v1:PersistentVolumeClaim": volume,
            "kubernetes:apps/v1:StatefulSet": volumes,
            "kubernetes:core/v1:Service": service,
        },
        free=frozenset(),
        rest_is_free=True,
    )


def _gib(quantity: str) -> float:
    return float(quantity[:-2]) * _UNITS[quantity[-2:]] / _UNITS["Gi"]
