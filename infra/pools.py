"""GPU pools as the components and the contract want them: the stack file's words with the catalogue's facts."""

from collections.abc import Mapping
from dataclasses import dataclass

from infra.catalog import REGIONS, Region, find_offer, slug
from infra.config import Capacity, GpuPool, SiteConfig

GPU_RESOURCE = "nvidia.com/gpu"
TAINT_VALUE = "present"
SYSTEM_LABELS: Mapping[str, str] = {"lorafleet/pool": "system"}


@dataclass(frozen=True)
class Pool:
    """A GPU pool with every fact known. ``max`` counts nodes, ``gpus`` the GPUs of one."""

    name: str
    machine: str
    gpu: str
    gpus: int
    driver: str
    capacity: Capacity
    max: int
    zones: tuple[str, ...]
    reservation: str | None
    disk_gib: int

    @property
    def labels(self) -> dict[str, str]:
        """What the pool's nodes are chosen by; the same labels in every cloud."""
        return {"lorafleet/pool": self.name, "lorafleet/gpu": slug(self.gpu), "lorafleet/capacity": self.capacity}


def zones(config: SiteConfig) -> tuple[str, ...]:
    """The zones of a site's region; none where neither catalogue nor configuration has it."""
    return config.zones or REGIONS.get((config.cloud, config.region), Region(())).zones


def resolve(config: SiteConfig, pool: GpuPool) -> Pool:
    """Add what the catalogue knows. The configuration has passed :func:`infra.validators.check`."""
    offer = find_offer(config.cloud, config.region, pool.machine)
    gpu = pool.gpu or (offer.gpu if offer else None)
    gpus = pool.gpus or (offer.gpus if offer else None)
    assert gpu is not None, "the validators ask for it"
    assert gpus is not None, "the validators ask for it"
    return Pool(
        name=pool.name,
        machine=pool.machine,
        gpu=gpu,
        gpus=gpus,
        driver=pool.driver,
        capacity=pool.capacity,
        max=pool.max,
        zones=pool.zones or (offer.zones if offer else ()),
        reservation=pool.reservation,
        disk_gib=pool.disk_gib,
    )
