"""What a site costs: counted from what its programs declare."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_program import ROOT, SITES, recorded

from infra.cost import aws, azure, gcp, kubernetes
from infra.cost.estimate import Estimate, Line, as_json, estimate
from infra.cost.meter import GpuNodes, Metering, Steady
from infra.cost.recording import Resource
from infra.cost.site import estimate_site
from infra.sites.stacks import find_site
from lorafleet.contracts.prices import find_price
from lorafleet.contracts.problems import ConfigError
from lorafleet.contracts.service_prices import HOURS_PER_MONTH

METERINGS = {"aws": aws.METERING, "gcp": gcp.METERING, "azure": azure.METERING}


@cache
def estimated(cloud: str) -> Estimate:
    return estimate_site(ROOT, find_site(ROOT, SITES[cloud]))


def line(found: Estimate, what: str) -> Line:
    [one] = [each for each in found.lines if each.what == what]
    return one


@pytest.mark.parametrize("cloud", SITES)
def test_somebody_has_said_of_every_type_what_it_costs(cloud: str) -> None:
    types = {each.type for each in recorded(cloud).resources if each.custom and not each.type.startswith("pulumi:")}
    metering = METERINGS[cloud]
    assert types <= metering.priced.keys() | metering.free
    assert not metering.priced.keys() & metering.free


@pytest.mark.parametrize("cloud", SITES)
def test_the_lines_add_up(cloud: str) -> None:
    found = estimated(cloud)
    told = as_json(found)
    assert told["idle"] == pytest.approx(sum(each.idle or 0 for each in found.lines), abs=0.01)
    assert 0 < found.idle < found.peak
    assert {each.what for each in found.lines if each.peak is None and not each.by_use} == set(found.unknown)


@pytest.mark.parametrize("cloud", SITES)
def test_the_page_says_what_the_command_says(cloud: str) -> None:
    [row] = [row for row in (ROOT / "docs" / "infra.md").read_text().splitlines() if row.startswith(f"| `{SITES[cloud]}` | $")]
    found = estimated(cloud)
    assert f"| ${found.idle:,.0f} |" in row
    assert f"${found.peak:,.0f} |" in row
    assert ("at most" in row) == any(line.at_most for line in found.lines)


def test_idle_is_what_runs_without_a_job() -> None:
    found = estimated("aws")
    system = line(found, "pool system: m7i.large")
    assert system.idle == pytest.approx(2 * 0.12075 * 730)
    assert system.peak == pytest.approx(4 * 0.12075 * 730)
    assert line(found, "pool l4: g6.xlarge").idle == 0
    assert line(found, "pool l4: g6.xlarge").peak == pytest.approx(2 * 1.01 * 730)
    assert line(found, "control plane").idle == line(found, "control plane").peak == pytest.approx(73)
    assert line(found, "pool system: disks").idle == pytest.approx(100 * 0.0952)


def test_a_spot_price_that_is_not_known_is_a_ceiling_and_one_that_is_known_is_not() -> None:
    unknown = line(estimated("aws"), "pool l4-spot: g6.xlarge")
    assert unknown.at_most
    assert unknown.peak == pytest.approx(6 * 1.01 * 730)
    known = line(estimated("gcp"), "pool l4-spot: g2-standard-8")
    assert not known.at_most
    assert known.peak == pytest.approx(6 * 0.480 * 730)


def test_what_has_no_price_is_said_and_not_free() -> None:
    assert "shared file system" in estimated("gcp").unknown
    assert line(estimated("gcp"), "shared file system").peak is None
    assert line(estimated("gcp"), "object store").by_use


def test_googles_nat_counts_machines() -> None:
    assert line(estimated("gcp"), "NAT gateway").peak == pytest.approx((4 + 6 + 2 + 2) * 0.0014 * 730)


def test_volumes_of_the_cluster_are_counted() -> None:
    assert line(estimated("aws"), "volume prometheus").idle == pytest.approx(20 * 0.0952)


def test_a_cluster_of_ones_own_asks_for_nothing() -> None:
    found = estimate_site(ROOT, find_site(ROOT, "local"))
    assert (found.idle, found.peak, found.lines) == (0, 0, ())


def test_a_type_that_nobody_has_thought_of_is_said() -> None:
    found = estimate("s", "aws", "eu-central-1", [Resource("aws:rds/instance:Instance", "db", {})], {"aws": aws.METERING})
    assert found.unknown == ("aws:rds/instance:Instance db",)
    found = estimate("s", "aws", "eu-central-1", [Resource("oci:x:Y", "z", {})], {})
    assert found.unknown == ("oci:x:Y z",)


def metered(meter: Steady | GpuNodes, cloud: str = "aws", region: str = "eu-central-1") -> Line:
    def only(resource: Resource, resources: Sequence[Resource]) -> Any:
        yield meter

    [found] = estimate("s", cloud, region, [Resource("a:b:C", "d", {})], {"a": Metering({"a:b:C": only}, frozenset())}).lines
    return found


@given(st.integers(0, 50), st.integers(1, 50))
def test_more_nodes_never_cost_less(idle: int, more: int) -> None:
    found = metered(Steady("x", "machine/m7i.large", idle, idle + more))
    assert found.idle is not None
    assert found.peak is not None
    assert found.idle < found.peak
    assert found.peak - found.idle == pytest.approx(more * 0.12075 * HOURS_PER_MONTH)


@given(st.integers(1, 100))
def test_a_reservation_is_paid_for_whether_it_is_used_or_not(most: int) -> None:
    found = metered(GpuNodes("x", "g6.xlarge", "reserved", most))
    price = find_price("aws", "eu-central-1", "g6.xlarge")
    assert price is not None
    assert found.idle == found.peak == pytest.approx(most * price.on_demand * 730)


def test_a_capacity_block_has_no_hourly_price() -> None:
    found = metered(GpuNodes("x", "g6.xlarge", "capacity-block", 1))
    assert found.peak is None
    assert "in advance" in found.basis


def test_a_volume_with_a_name_is_counted_elsewhere() -> None:
    spec = {"resources": {"requests": {"storage": "512Mi"}}}
    claim = "kubernetes:core/v1:PersistentVolumeClaim"
    resources = [Resource(claim, "own", {"spec": spec}), Resource(claim, "bound", {"spec": {**spec, "volumeName": "shared"}})]
    found = estimate("s", "aws", "eu-central-1", resources, {"kubernetes": kubernetes.metering("aws")})
    assert [each.what for each in found.lines] == ["volume own"]
    assert found.idle == pytest.approx(0.5 * 0.0952)


def test_a_stack_file_that_is_wrong_is_said_before_anything_is_counted(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.x.yaml").write_text("config: {'lorafleet:site': {cloud: aws}}")
    with pytest.raises(ConfigError):
        estimate_site(tmp_path, find_site(tmp_path, "x"))
