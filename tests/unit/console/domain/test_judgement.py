import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.console.domain.judgement import LATENCIES, breaches, in_words, latency, measure, named
from lorafleet.contracts.conditions import parse_condition
from lorafleet.contracts.release import Breach, HardFault, OutcomeCounts

AT = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.lists(st.floats(0, 1000), min_size=1))
def test_at_least_three_quarters_are_no_slower(seconds: list[float]) -> None:
    found = latency(seconds)
    assert found in seconds
    assert sum(each <= found for each in seconds) >= 0.75 * len(seconds)
    assert sum(each < found for each in seconds) < 0.75 * len(seconds)


def test_one_slow_start_in_four_is_no_breach_and_two_are() -> None:
    conditions = [parse_condition("latency > 2s")]
    for seconds, broken in (([0.5, 0.5, 0.5, 60.0], False), ([0.5, 0.5, 60.0, 60.0], True), ([60.0] * 3, False)):
        assert bool(breaches(conditions, "aws", measure(OutcomeCounts(), seconds, 20), AT)) is broken


def test_few_samples_are_not_judged() -> None:
    assert "errorRate" not in measure(OutcomeCounts(release=19), [], 20)
    assert measure(OutcomeCounts(release=19, succeeded=1), [], 20) == {"errorRate": 0.95}
    assert measure(OutcomeCounts(user=50, infrastructure=50), [], 1) == {}


def test_a_release_judged_by_one_sample_has_its_latency_judged_by_one() -> None:
    assert measure(OutcomeCounts(), [3.0], 1) == {"latency": 3.0}
    assert measure(OutcomeCounts(), [3.0] * (LATENCIES - 1), 20) == {}


@pytest.mark.parametrize(("failed", "of", "broken"), [(5, 100, False), (6, 100, True), (1, 20, False), (2, 20, True)])
def test_more_than_five_percent_is_exact(failed: int, of: int, broken: bool) -> None:
    values = measure(OutcomeCounts(release=failed, succeeded=of - failed), [], 20)
    found = breaches([parse_condition("errorRate > 5%")], "aws", values, AT)
    assert bool(found) is broken
    if found:
        assert (found[0].site, found[0].value) == ("aws", failed / of)
        assert in_words(found) == f"aws: errorRate > 5% is broken by {failed / of:.4g}"


def test_no_data_breaks_nothing() -> None:
    assert breaches([parse_condition("gpuErrors < 3")], "aws", {"gpuErrors": math.nan}, AT) == []


def test_named_conditions_are_those_of_queries() -> None:
    conditions = [parse_condition(text) for text in ("errorRate > 5%", "gpuErrors > 3", "latency > 2s")]
    assert [each.metric for each in named(conditions)] == ["gpuErrors"]


def test_a_hard_fault_in_words() -> None:
    assert in_words([Breach(site="aws", at=AT, fault=HardFault.CUDA_INIT)]) == "aws: cuda_init"
