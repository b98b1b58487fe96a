from decimal import Decimal
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.contracts.conditions import MEASURED, Condition, Unit, parse_condition

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,20}", fullmatch=True).filter(lambda name: name not in MEASURED)
COMPARISONS = st.sampled_from([">", ">=", "<", "<="])
NUMBERS = st.decimals(-(10**9), 10**9, places=6, allow_nan=False)
CONDITIONS = st.one_of(
    st.builds(Condition, NAMES, COMPARISONS, NUMBERS, st.just(Unit.NUMBER)),
    st.builds(lambda n, c, p: Condition(n, c, p / 100, Unit.RATIO), NAMES | st.just("errorRate"), COMPARISONS, NUMBERS),
    st.builds(
        lambda n, c, ms: Condition(n, c, Decimal(ms) / 1000, Unit.SECONDS),
        NAMES | st.just("latency"),
        COMPARISONS,
        st.integers(0, 10**9),
    ),
)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("errorRate > 5%", Condition("errorRate", ">", Decimal("0.05"), Unit.RATIO)),
        ("latency > 2s", Condition("latency", ">", Decimal(2), Unit.SECONDS)),
        ("latency>=500ms", Condition("latency", ">=", Decimal("0.5"), Unit.SECONDS)),
        (" errorRate  <  0.5 % ", Condition("errorRate", "<", Decimal("0.005"), Unit.RATIO)),
        ("xid_errors > 3", Condition("xid_errors", ">", Decimal(3), Unit.NUMBER)),
        ("headroom <= -1.5", Condition("headroom", "<=", Decimal("-1.5"), Unit.NUMBER)),
        ("throttled > 10%", Condition("throttled", ">", Decimal("0.1"), Unit.RATIO)),
    ],
)
def test_conditions_as_the_design_writes_them(text: str, condition: Condition) -> None:
    assert parse_condition(text) == condition


@given(CONDITIONS)
def test_what_is_printed_is_read_back(condition: Condition) -> None:
    assert parse_condition(str(condition)) == condition


def test_printed_in_the_units_that_people_use() -> None:
    assert str(parse_condition("errorRate>5.0%")) == "errorRate > 5%"
    assert str(parse_condition("errorRate > 100%")) == "errorRate > 100%"
    assert str(parse_condition("latency > 2000ms")) == "latency > 2s"
    assert str(parse_condition("n > 100")) == "n > 100"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "errorRate",
        "errorRate > ",
        "> 5%",
        "errorRate = 5%",
        "errorRate > five",
        "error rate > 5%",
        "a > 5% or b > 2",
        "a > 1e3",
        "a > nan",
    ],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no condition"):
        parse_condition(text)


@pytest.mark.parametrize("text", ["errorRate > 5", "errorRate > 2s", "latency > 2", "latency > 5%"])
def test_the_consoles_own_metrics_have_their_unit(text: str) -> None:
    with pytest.raises(ValueError, match="another unit; write it as"):
        parse_condition(text)


@pytest.mark.parametrize(
    ("text", "value", "broken"),
    [
        ("errorRate > 5%", 5 / 100, False),
        ("errorRate > 5%", 6 / 100, True),
        ("errorRate >= 5%", 5 / 100, True),
        ("errorRate > 0.7%", 7 / 1000, False),
        ("latency > 2s", 2.0, False),
        ("latency > 2s", 2.001, True),
        ("free < 1", 0.5, True),
        ("free <= 1", 1.0, True),
        ("errorRate > 5%", nan, False),
        ("free < 1", nan, False),
    ],
)
def test_values_on_the_threshold_and_beside_it(text: str, value: float, broken: bool) -> None:
    assert parse_condition(text).broken_by(value) is broken


@given(st.integers(1, 5000), st.integers(0, 100))
def test_exactly_the_threshold_is_not_more_than_it(hundreds: int, percent: int) -> None:
    assert not parse_condition(f"errorRate > {percent}%").broken_by(percent * hundreds / (100 * hundreds))
