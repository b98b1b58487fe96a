from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from lorafleet.contracts.shares import (
    ALL,
    DEFAULT_SHARES,
    NONE,
    WHOLE,
    Percentage,
    Share,
    Strategy,
    chosen,
    draw,
    parse_share,
    schedule,
)

SHARES = st.integers(0, WHOLE).map(Share)
DIGEST = "sha256:" + "a" * 64


@given(SHARES)
def test_a_share_is_read_back(share: Share) -> None:
    assert parse_share(str(share)) == share


@pytest.mark.parametrize(("text", "points"), [("10%", 1000), ("0.5 %", 50), ("100%", WHOLE), ("0%", 0), ("0.01%", 1)])
def test_percentages(text: str, points: int) -> None:
    assert parse_share(text) == Share(points)
    assert parse_share(text).ratio == points / WHOLE


@pytest.mark.parametrize("text", ["", "10", "%", "-1%", "101%", "100.01%", "0.001%", "ten%", "10%%", "1e1%"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="share"):
        parse_share(text)


def test_a_number_without_the_sign_is_refused() -> None:
    adapter = TypeAdapter(Percentage)
    assert adapter.dump_python(adapter.validate_python("10%")) == "10%"
    for value in (10, 0.1, True):
        with pytest.raises(ValidationError, match="no percent sign"):
            adapter.validate_python(value)


def test_draws_never_change() -> None:
    # From sha256sum over "job-N\0digest", its first 32 digits modulo 10 000.
    # Fixed for good: a job that was drawn by an older console keeps its track.
    assert [draw(f"job-{number}", DIGEST) for number in range(5)] == [998, 2489, 2600, 1288, 3719]


def test_draws_are_uniform_over_jobs_and_over_releases() -> None:
    for draws in (
        [draw(f"job-{number}", DIGEST) for number in range(20_000)],
        [draw("job-1", f"sha256:{number:064x}") for number in range(20_000)],
    ):
        assert min(draws) >= 0
        assert max(draws) < WHOLE
        tenths = Counter(value // 1000 for value in draws)
        # Chi squared with 9 degrees of freedom lies under 27.9 in 99.9 % of fair draws.
        assert sum((tenths[tenth] - 2000) ** 2 / 2000 for tenth in range(10)) < 27.9


def test_draws_for_two_releases_do_not_follow_each_other() -> None:
    other = "sha256:" + "b" * 64
    both = sum(draw(f"job-{n}", DIGEST) < 1000 and draw(f"job-{n}", other) < 1000 for n in range(20_000))
    assert 140 < both < 260


@given(st.text(max_size=20), SHARES, SHARES)
def test_a_job_stays_in_a_share_that_grows(job: str, one: Share, other: Share) -> None:
    small, large = sorted((one, other))
    drawn = draw(job, DIGEST)
    assert chosen(job, DIGEST, small) == small.takes(drawn)
    assert not chosen(job, DIGEST, small) or chosen(job, DIGEST, large)
    assert chosen(job, DIGEST, ALL)
    assert not chosen(job, DIGEST, NONE)


@given(st.text(max_size=20))
def test_a_share_begins_to_take_a_job_just_above_its_draw(job: str) -> None:
    drawn = draw(job, DIGEST)
    assert not chosen(job, DIGEST, Share(drawn))
    assert chosen(job, DIGEST, Share(drawn + 1))


def test_schedules_of_the_design() -> None:
    assert schedule(Strategy.CANARY, Share(1000)) == (Share(1000), ALL)
    assert schedule(Strategy.BLUEGREEN, ALL) == (ALL,)
    assert schedule(Strategy.ROLLING, Share(2500)) == (Share(2500), Share(5000), Share(7500), ALL)
    assert schedule(Strategy.ROLLING, Share(4000)) == (Share(4000), Share(8000), ALL)


@given(st.sampled_from(Strategy), SHARES)
def test_schedules_grow_and_end_with_everything(strategy: Strategy, share: Share) -> None:
    try:
        steps = schedule(strategy, share)
    except ValueError:
        assert share == NONE or strategy is Strategy.BLUEGREEN
        return
    assert list(steps) == sorted(set(steps))
    assert steps[0] == share
    assert steps[-1] == ALL


def test_each_strategy_has_a_share_that_fits_it() -> None:
    assert set(DEFAULT_SHARES) == set(Strategy)
    for strategy, share in DEFAULT_SHARES.items():
        assert schedule(strategy, share)


def test_a_share_out_of_range_cannot_be_made() -> None:
    for points in (-1, WHOLE + 1):
        with pytest.raises(ValueError, match="between"):
            Share(points)
