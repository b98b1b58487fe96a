"""Cutting a site's address range into the parts that each cloud wants."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

PREFIXES = range(16, 19)
"""Of a site's range: a /16 to a /18."""

# AKS's overlay and service ranges lie outside the site's range, and are the same in every site: nothing routes to them.
AZURE_PODS = IPv4Network("100.64.0.0/10")
AZURE_SERVICES = IPv4Network("172.20.0.0/16")
EKS_SERVICES = IPv4Network("172.20.0.0/16")
RESERVED = (AZURE_PODS, AZURE_SERVICES, IPv4Network("172.17.0.0/16"))
"""What a site's range may not touch; the last is the container runtime's bridge."""


@dataclass(frozen=True)
class ZoneSubnets:
    """The two subnets of one AWS zone: nodes in ``private``, NAT gateway and public load balancers in ``public``."""

    zone: str
    private: IPv4Network
    public: IPv4Network


def zone_subnets(cidr: IPv4Network, zones: Sequence[str]) -> tuple[ZoneSubnets, ...]:
    """A quarter of the lower three quarters for each zone's nodes, and slices of the last quarter for what is public.

    Raises:
        ValueError: there are more than three zones.
    """
    if len(zones) > 3:
        raise ValueError("a range is cut for three zones")
    quarters = list(cidr.subnets(prefixlen_diff=2))
    slices = list(quarters[3].subnets(prefixlen_diff=4))
    return tuple(ZoneSubnets(zone, quarters[number], slices[number]) for number, zone in enumerate(zones))


@dataclass(frozen=True)
class RegionRanges:
    """The parts of a region-wide network (GCP): nodes, pods, services, and the shared file system's own."""

    pods: IPv4Network
    nodes: IPv4Network
    services: IPv4Network
    files: IPv4Network


def region_ranges(cidr: IPv4Network) -> RegionRanges:
    """Half for pods, a quarter for nodes, an eighth for services, and a /26 at the end for Filestore."""
    lower, upper = cidr.subnets(prefixlen_diff=1)
    nodes, rest = upper.subnets(prefixlen_diff=1)
    services, last = rest.subnets(prefixlen_diff=1)
    return RegionRanges(pods=lower, nodes=nodes, services=services, files=list(last.subnets(new_prefix=26))[-1])


def node_subnet(cidr: IPv4Network) -> IPv4Network:
    """The half of a range that AKS's nodes are in; their pods have addresses of the overlay."""
    return next(cidr.subnets(prefixlen_diff=1))
