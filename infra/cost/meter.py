"""What is counted for one resource, before it has a price."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from infra.config import Capacity
from infra.cost.recording import Resource


@dataclass(frozen=True)
class Steady:
    """So many units of a service (a name of :mod:`lorafleet.contracts.service_prices`) are paid for, used or not.

    ``idle`` while no job runs, ``peak`` with every pool at its size limit.
    """

    what: str
    service: str
    idle: float
    peak: float


@dataclass(frozen=True)
class GpuNodes:
    """GPU machines, between none and ``most`` of them."""

    what: str
    machine: str
    capacity: Capacity
    most: float


@dataclass(frozen=True)
class ByUse:
    """A service whose price is by what is stored, sent or asked; ``service`` is its unit's name in the price table."""

    what: str
    service: str


Meter = Steady | GpuNodes | ByUse
Meters = Callable[[Resource, Sequence[Resource]], Iterator[Meter]]
"""What one resource costs; the second argument is all of the program's resources."""


@dataclass(frozen=True)
class Metering:
    """How one provider's resources are counted. A type that stands in neither has no known price, and is said.

    ``rest_is_free`` is for Kubernetes, where only what the cloud makes for an object costs.
    """

    priced: Mapping[str, Meters]
    free: frozenset[str]
    rest_is_free: bool = False


def nodes(what: str, machine: str, labels: Mapping[str, str], least: float, most: float, disk: str, gib: float) -> Iterator[Meter]:
    """The machines of one pool, and their disks. A GPU pool is known by the label of its capacity."""
    capacity = labels.get("lorafleet/capacity")
    if capacity is None:
        yield Steady(f"{what}: {machine}", f"machine/{machine}", least, most)
    else:
        yield GpuNodes(f"{what}: {machine}", machine, capacity, most)  # type: ignore[arg-type]  # The programs write it.
    yield Steady(f"{what}: disks", disk, least * gib, most * gib)
