"""What the clouds offer where: regions, zones, and the zones that a GPU machine type stands in.

GPUs and prices of machine types are :data:`lorafleet.contracts.prices.PRICES`; only what that table lacks stands here. A region
that is not here can be described in its stack file (``zones``, and ``gpu``, ``gpus`` and ``zones`` of each pool).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lorafleet.contracts.gpus import GPUS
from lorafleet.contracts.prices import find_price


@dataclass(frozen=True)
class Region:
    """A region: its zones, and in which of them each GPU machine type stands.

    A machine type without zones is there, but no source says in which: the cloud chooses one (only Azure lets it).
    AWS zones are zone *ids* (``euc1-az1``): the names (``eu-central-1a``) mean another zone in each account.
    """

    zones: tuple[str, ...]
    machines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Offer:
    """A GPU machine type in one region. ``gpu`` is a name of :data:`lorafleet.contracts.gpus.GPUS`."""

    machine: str
    gpu: str
    gpus: int
    zones: tuple[str, ...]


_EUC1 = ("euc1-az1", "euc1-az2", "euc1-az3")
_USW1 = ("us-west1-a", "us-west1-b", "us-west1-c")
_AZURE = ("1", "2", "3")

# Zones: SkyPilot catalog v8 (AWS), the price tables named in prices.py (GCP, Azure). g6 is absent from euc1-az1.
REGIONS: Mapping[tuple[str, str], Region] = {
    ("aws", "eu-central-1"): Region(
        _EUC1,
        {
            "g6.xlarge": _EUC1[1:],
            "g6.4xlarge": _EUC1[1:],
            "g6.8xlarge": _EUC1[1:],
            "g6e.xlarge": _EUC1,
            "g6e.4xlarge": _EUC1,
            "g6e.8xlarge": _EUC1,
            "g5.xlarge": _EUC1,
        },
    ),
    ("gcp", "us-west1"): Region(
        _USW1,
        {
            "g2-standard-4": _USW1,
            "g2-standard-8": _USW1,
            "g2-standard-12": _USW1,
            "a2-highgpu-1g": _USW1[1:2],
            "a3-highgpu-1g": _USW1[:2],
        },
    ),
    ("azure", "westeurope"): Region(
        _AZURE,
        {
            "Standard_NC4as_T4_v3": (),
            "Standard_NV36ads_A10_v5": (),
            "Standard_NC24ads_A100_v4": (),
            "Standard_NC40ads_H100_v5": (),
        },
    ),
}


def regions(cloud: str) -> tuple[str, ...]:
    """The regions of a cloud that the table knows."""
    return tuple(region for known, region in REGIONS if known == cloud)


def offers(cloud: str, region: str) -> tuple[Offer, ...]:
    """The GPU machine types of a region, in the table's order; none for a region that it does not know."""
    found = REGIONS.get((cloud, region), Region(()))
    priced = [(machine, zones, find_price(cloud, region, machine)) for machine, zones in found.machines.items()]
    return tuple(Offer(machine, price.gpu, price.gpus, zones) for machine, zones, price in priced if price is not None)


def find_offer(cloud: str, region: str, machine: str) -> Offer | None:
    """A GPU machine type in a region; None where the table knows no such offer."""
    return next((offer for offer in offers(cloud, region) if offer.machine == machine), None)


def slug(gpu: str) -> str:
    """A GPU's name as the value of a node label: ``A100 80GB`` is ``a100-80gb``."""
    return gpu.lower().replace(" ", "-")


GPU_NAMES = tuple(gpu.name for gpu in GPUS)

# Google's names of the accelerators, as `gcloud compute accelerator-types list` gives them.
GKE_ACCELERATORS: Mapping[str, str] = {
    "T4": "nvidia-tesla-t4",
    "L4": "nvidia-l4",
    "A100 40GB": "nvidia-tesla-a100",
    "A100 80GB": "nvidia-a100-80gb",
    "H100 SXM": "nvidia-h100-80gb",
    "H200": "nvidia-h200-141gb",
}
