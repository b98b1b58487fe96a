from hypothesis import given
from hypothesis import strategies as st

from lorafleet.contracts.service_prices import RATES, find_rate


def test_no_row_stands_twice_and_each_has_a_source() -> None:
    keys = [(rate.cloud, rate.region, rate.service) for rate in RATES]
    assert len(set(keys)) == len(keys)
    assert all(rate.source for rate in RATES)


def test_a_price_that_is_the_same_everywhere_is_found_in_any_region() -> None:
    rate = find_rate("aws", "mars-1", "control plane")
    assert rate is not None
    assert (rate.usd, rate.unit) == (0.10, "hour")


def test_a_price_of_one_region_is_not_taken_for_another() -> None:
    assert find_rate("aws", "eu-central-1", "NAT gateway") is not None
    assert find_rate("aws", "us-east-1", "NAT gateway") is None
    assert find_rate("gcp", "eu-central-1", "NAT gateway") is None


@given(st.sampled_from(RATES))
def test_every_row_is_found(rate: object) -> None:
    assert find_rate(rate.cloud, rate.region, rate.service) is rate  # type: ignore[attr-defined]
