"""Whatever the validators let through passes every rule: they ask for nothing that the rules refuse, and the other way round."""

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from policy_runs import all_findings, resources_of
from recorded_program import SITES, changed, record

from infra.catalog import Offer, offers, regions
from infra.policy.rule import Stack
from infra.validators import findings

CAPACITIES = {
    "aws": ("on-demand", "spot", "reserved", "capacity-block"),
    "gcp": ("on-demand", "spot", "reserved", "flex-start"),
    "azure": ("on-demand", "spot", "reserved"),
}


@st.composite
def pools(draw: st.DrawFn, cloud: str, offer: Offer, number: int) -> dict[str, Any]:
    capacity = draw(st.sampled_from(CAPACITIES[cloud]))
    pool: dict[str, Any] = {
        "name": f"p{number}",
        "machine": offer.machine,
        "capacity": capacity,
        "max": draw(st.integers(1, 1000)),
        "driver": "580.95.05",
        "disk_gib": draw(st.integers(50, 4000)),
    }
    if capacity in ("reserved", "capacity-block"):
        pool["reservation"] = "reservation"
        if cloud != "azure":
            pool["zones"] = [draw(st.sampled_from(offer.zones))]
    return pool


@st.composite
def sites(draw: st.DrawFn, cloud: str) -> dict[str, Any]:
    region = draw(st.sampled_from([each for each in regions(cloud) if offers(cloud, each)]))
    chosen = draw(st.lists(st.sampled_from(offers(cloud, region)), min_size=1, max_size=3))
    prefixes = st.integers(1, 32)
    changes: dict[str, Any] = {
        "region": region,
        "pools": [draw(pools(cloud, offer, number)) for number, offer in enumerate(chosen)],
        "network": {"cidr": f"10.{draw(st.integers(0, 255))}.0.0/{draw(st.integers(14, 18))}", "nat_per_zone": draw(st.booleans())},
        "api": {"allow": [f"{1 << (32 - prefix) >> 24 or 203}.0.0.0/{prefix}" for prefix in draw(st.lists(prefixes, max_size=2))]},
        "shared_gib": draw(st.integers(1024, 8192)),
    }
    if cloud == "gcp":
        changes["refuse_plain_http"] = draw(st.booleans())
    return changes


@pytest.mark.parametrize("cloud", SITES)
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_the_validators_accept_passes_every_rule(cloud: str, data: st.DataObject) -> None:
    config = changed(cloud, **data.draw(sites(cloud)))
    assume(not findings(config))
    resources = resources_of(record(cloud, config))
    assert all_findings(Stack(resources, {pool.name: pool.max for pool in config.pools})) == []
