from lorafleet.contracts.gpus import GPUS
from lorafleet.contracts.prices import PRICES, cheapest, find_price


def test_lookup_by_cloud_region_and_machine() -> None:
    price = find_price("gcp", "us-west1", "g2-standard-4")
    assert price is not None
    assert (price.gpu, price.on_demand, price.spot_low, price.currency) == ("L4", 0.707, 0.397, "USD")
    assert str(price.as_of) == "2026-08-03"
    assert find_price("gcp", "us-east1", "g2-standard-4") is None


def test_the_cheapest_offer_comes_first() -> None:
    offers = cheapest("L4")
    assert [offer.on_demand_per_gpu for offer in offers] == sorted(offer.on_demand_per_gpu for offer in offers)
    assert (offers[0].cloud, offers[0].machine) == ("gcp", "g2-standard-4")
    assert all(offer.spot_high is not None for offer in cheapest("L4", spot=True))
    assert len(cheapest("L4", spot=True)) < len(offers)
    assert cheapest("abacus") == []


def test_a_machine_of_eight_is_priced_by_the_gpu() -> None:
    price = find_price("aws", "us-east-1", "p5.48xlarge")
    assert price is not None
    assert price.on_demand_per_gpu == 6.88


def test_no_row_stands_twice_and_each_has_a_source() -> None:
    keys = [(price.cloud, price.region, price.machine) for price in PRICES]
    assert len(set(keys)) == len(keys)
    assert all(price.source for price in PRICES)
    for price in PRICES:
        if price.spot_low is not None and price.spot_high is not None:
            assert price.spot_low <= price.spot_high < price.on_demand


def test_gpus_are_named_as_in_the_gpu_table() -> None:
    assert {price.gpu for price in PRICES} - {gpu.name for gpu in GPUS} == {"RTX PRO 6000"}
