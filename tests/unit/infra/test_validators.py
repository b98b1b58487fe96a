"""Wrong configuration: one line with a code each, before anything is made; and what the rules let through, programs can build."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_program import SITES, example

from infra.catalog import GKE_ACCELERATORS, REGIONS, find_offer, offers
from infra.config import SiteConfig, read
from infra.pools import resolve
from infra.validators import check, findings
from lorafleet.contracts.document import Document
from lorafleet.contracts.gpus import GPUS
from lorafleet.contracts.prices import find_price
from lorafleet.contracts.problems import ConfigError


def config(cloud: str, **changes: Any) -> SiteConfig:
    value = json.loads(example(cloud).model_dump_json(exclude_none=True))
    return read(Document({**value, **changes}, "Pulumi.site.yaml"))


def pool(**keys: Any) -> dict[str, Any]:
    return {"name": "gpu", "machine": "g6.xlarge", "max": 2, "driver": "580.95.05", **keys}


def codes(site: SiteConfig) -> list[str]:
    return [finding.code for finding in findings(site)]


ZONES = ["x-1", "x-2"]
ELSEWHERE = {"machine": "p5.4xlarge", "gpu": "H100 SXM", "gpus": 1, "zones": ["x-1"]}
WRONG: list[tuple[str, str, dict[str, Any]]] = [
    ("INF101", "aws", {"region": "eu-centrl-1"}),
    ("INF102", "aws", {"zones": ["euc1-az1", "euc1-az2"]}),
    ("INF103", "aws", {"region": "us-east-1", "zones": ["x-1"], "pools": [pool(**ELSEWHERE)]}),
    ("INF103", "aws", {"region": "us-east-1", "zones": ["x-1", "x-1"], "pools": [pool(**ELSEWHERE)]}),
    ("INF111", "aws", {"network": {"cidr": "10.40.0.1/16"}}),
    ("INF111", "aws", {"network": {"cidr": "10.40.0.0"}}),
    ("INF111", "gcp", {"network": {"cidr": "fd00::/48"}}),
    ("INF112", "aws", {"network": {"cidr": "198.51.0.0/16"}}),
    ("INF113", "aws", {"network": {"cidr": "10.40.0.0/24"}}),
    ("INF113", "aws", {"network": {"cidr": "10.0.0.0/8"}}),
    ("INF114", "azure", {"network": {"cidr": "172.20.0.0/16"}}),
    ("INF121", "aws", {"api": {"allow": ["203.0.113.7"]}}),
    ("INF122", "gcp", {"api": {"allow": ["0.0.0.0/0"]}}),
    ("INF131", "aws", {"pools": [pool(), pool()]}),
    ("INF131", "aws", {"pools": [pool(name="system")]}),
    ("INF132", "aws", {"system": {"machine": "m7i.large", "min": 3, "max": 2}}),
    ("INF133", "azure", {"pools": [pool(name="a10-spot", machine="Standard_NV36ads_A10_v5")]}),
    ("INF133", "azure", {"pools": [pool(name="1a10", machine="Standard_NV36ads_A10_v5")]}),
    ("INF133", "gcp", {"pools": [pool(name="x" * 33, machine="g2-standard-4")]}),
    ("INF141", "aws", {"pools": [pool(machine="p5.4xlarge")]}),
    ("INF141", "gcp", {"pools": [pool(machine="a2-ultragpu-1g", gpu="A100 80GB", gpus=1)]}),
    ("INF142", "aws", {"pools": [pool(gpu="L40S")]}),
    ("INF142", "aws", {"pools": [pool(gpus=2)]}),
    ("INF143", "aws", {"pools": [pool(zones=["euc1-az1"])]}),
    ("INF144", "azure", {"pools": [pool(machine="Standard_NC4as_T4_v3", zones=["4"])]}),
    ("INF144", "aws", {"pools": [pool(machine="g7.xlarge", gpu="L4", gpus=1, zones=["euc1-az9"])]}),
    ("INF145", "aws", {"pools": [pool(machine="g7.xlarge", gpu="L44", gpus=1, zones=["euc1-az1"])]}),
    ("INF146", "gcp", {"pools": [pool(machine="n9-1g", gpu="A10G", gpus=1, zones=["us-west1-a"])]}),
    ("INF151", "aws", {"pools": [pool(capacity="flex-start")]}),
    ("INF151", "azure", {"pools": [pool(machine="Standard_NC4as_T4_v3", capacity="flex-start")]}),
    ("INF152", "aws", {"pools": [pool(capacity="reserved", zones=["euc1-az2"])]}),
    ("INF153", "aws", {"pools": [pool(capacity="spot", reservation="cr-1")]}),
    ("INF153", "gcp", {"pools": [pool(machine="g2-standard-4", capacity="flex-start", reservation="held")]}),
    ("INF154", "aws", {"pools": [pool(capacity="capacity-block", reservation="cr-1")]}),
    ("INF154", "gcp", {"pools": [pool(machine="g2-standard-4", capacity="reserved", reservation="held")]}),
    ("INF161", "azure", {"budget_since": "2026-12-02"}),
]


@pytest.mark.parametrize(("code", "cloud", "changes"), WRONG)
def test_one_line_with_its_code(code: str, cloud: str, changes: dict[str, Any]) -> None:
    site = config(cloud, **changes)
    assert codes(site) == [code]
    with pytest.raises(ConfigError) as caught:
        check(site, Document({}, "Pulumi.site.yaml"))
    lines = str(caught.value).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Pulumi.site.yaml: ")
    assert f"[{code}]" in lines[0]


@pytest.mark.parametrize("cloud", SITES)
def test_the_examples_are_right(cloud: str) -> None:
    assert findings(example(cloud)) == ()


def test_the_nearest_region_is_named() -> None:
    (finding,) = findings(config("aws", region="eu-centrl-1"))
    assert finding.hint == "did you mean 'eu-central-1'?"


def test_a_region_that_the_catalogue_lacks_needs_only_its_stack_file() -> None:
    site = config("aws", region="us-east-1", zones=ZONES, pools=[pool(**ELSEWHERE)])
    assert codes(site) == []
    known = resolve(site, site.pools[0])
    assert (known.gpu, known.gpus, known.zones) == ("H100 SXM", 1, ("x-1",))


def test_the_catalogue_names_only_known_gpus_zones_and_prices() -> None:
    for (cloud, region), row in REGIONS.items():
        assert {offer.machine for offer in offers(cloud, region)} == set(row.machines)
        for offer in offers(cloud, region):
            assert offer.gpu in [gpu.name for gpu in GPUS]
            assert set(offer.zones) <= set(row.zones)
            assert find_price(cloud, region, offer.machine) is not None
            assert cloud != "gcp" or offer.gpu in GKE_ACCELERATORS


def test_g6_is_absent_from_the_first_zone_of_frankfurt() -> None:
    offer = find_offer("aws", "eu-central-1", "g6.xlarge")
    assert offer is not None
    assert offer.zones == ("euc1-az2", "euc1-az3")


MACHINES = {cloud: [offer.machine for offer in offers(cloud, example(cloud).region)] for cloud in SITES}
CAPACITIES = ["on-demand", "spot", "reserved", "capacity-block", "flex-start"]


@given(data=st.data(), cloud=st.sampled_from(list(SITES)), capacity=st.sampled_from(CAPACITIES))
def test_a_pool_that_passes_keeps_the_clouds_rules(data: st.DataObject, cloud: str, capacity: str) -> None:
    machine = data.draw(st.sampled_from(MACHINES[cloud]))
    zones = data.draw(st.lists(st.sampled_from(REGIONS[cloud, example(cloud).region].zones), max_size=3, unique=True))
    keys = {"capacity": capacity, "machine": machine, "zones": zones}
    reservation = data.draw(st.sampled_from([None, "held"]))
    site = config(cloud, pools=[pool(**keys, **({"reservation": reservation} if reservation else {}))])
    if findings(site):
        return
    known = resolve(site, site.pools[0])
    offer = find_offer(cloud, site.region, machine)
    assert offer is not None
    assert (known.reservation is not None) == (capacity in ("reserved", "capacity-block"))
    assert capacity != "flex-start" or cloud == "gcp"
    assert capacity != "capacity-block" or cloud == "aws"
    assert not offer.zones or set(known.zones) <= set(offer.zones)
    assert known.reservation is None or cloud == "azure" or len(known.zones) == 1


@given(st.text(max_size=20) | st.from_regex(r"\d{1,3}(\.\d{1,3}){3}/\d{1,2}", fullmatch=True))
def test_no_range_crashes_the_rules(text: str) -> None:
    for site in (config("aws", network={"cidr": text}), config("aws", api={"allow": [text]})):
        assert {code[:5] for code in codes(site)} <= {"INF11", "INF12"}
