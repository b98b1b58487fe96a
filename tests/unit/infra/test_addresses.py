"""Whatever range a site has, its parts lie in it and apart from each other."""

from ipaddress import IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.addresses import PREFIXES, RESERVED, node_subnet, region_ranges, zone_subnets

ranges = st.builds(
    lambda second, third, prefix: IPv4Network((f"10.{second}.{third}.0", prefix), strict=False),
    st.integers(0, 255),
    st.integers(0, 255),
    st.sampled_from(PREFIXES),
)


def apart(cidr: IPv4Network, parts: list[IPv4Network]) -> bool:
    return all(part.subnet_of(cidr) for part in parts) and not any(one.overlaps(other) for one, other in combinations(parts, 2))


@given(cidr=ranges, zones=st.integers(1, 3))
def test_zones(cidr: IPv4Network, zones: int) -> None:
    subnets = zone_subnets(cidr, [f"z{number}" for number in range(zones)])
    assert apart(cidr, [part for zone in subnets for part in (zone.private, zone.public)])
    # EKS gives each pod an address of the subnet.
    assert all(zone.private.num_addresses >= 4096 for zone in subnets)


def test_a_fourth_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="three zones"):
        zone_subnets(IPv4Network("10.0.0.0/16"), ["a", "b", "c", "d"])


@given(cidr=ranges)
def test_region(cidr: IPv4Network) -> None:
    parts = region_ranges(cidr)
    assert apart(cidr, [parts.pods, parts.nodes, parts.services, parts.files])
    assert parts.files.prefixlen == 26


@given(cidr=ranges)
def test_nodes_of_aks(cidr: IPv4Network) -> None:
    assert node_subnet(cidr).subnet_of(cidr)
    assert not any(cidr.overlaps(reserved) for reserved in RESERVED)
