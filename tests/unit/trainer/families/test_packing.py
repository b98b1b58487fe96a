import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.families.packing import pack

capacities = st.integers(1, 64)


@st.composite
def packings(draw: st.DrawFn) -> tuple[list[int], int]:
    capacity = draw(capacities)
    return draw(st.lists(st.integers(1, capacity), max_size=60)), capacity


@given(packings())
def test_every_example_is_in_exactly_one_row(case: tuple[list[int], int]) -> None:
    lengths, capacity = case
    assert sorted(example for row in pack(lengths, capacity) for example in row) == list(range(len(lengths)))


@given(packings())
def test_no_row_is_too_long_and_none_is_empty(case: tuple[list[int], int]) -> None:
    lengths, capacity = case
    assert all(1 <= sum(lengths[example] for example in row) <= capacity for row in pack(lengths, capacity))


@given(packings())
def test_no_two_rows_would_fit_into_one(case: tuple[list[int], int]) -> None:
    lengths, capacity = case
    loads = sorted(sum(lengths[example] for example in row) for row in pack(lengths, capacity))
    assert len(loads) < 2 or loads[0] + loads[1] > capacity


@given(packings())
def test_rows_are_within_eleven_ninths_of_the_lower_bound_for_small_examples(case: tuple[list[int], int]) -> None:
    lengths, capacity = case
    small = [min(length, max(1, capacity // 4)) for length in lengths]
    fewest = -(-sum(small) // capacity)
    # Rows but the last are fuller than capacity - capacity // 4 where no example is longer than a quarter of a row.
    assert len(pack(small, capacity)) <= fewest * 4 / 3 + 1


@given(packings())
def test_packing_depends_on_its_arguments_alone(case: tuple[list[int], int]) -> None:
    assert pack(*case) == pack(*case)


def test_the_tightest_row_is_chosen() -> None:
    assert pack([6, 5, 4, 3, 2], 10) == [(0, 2), (1, 3, 4)]


def test_a_hundred_thousand_examples_take_no_time() -> None:
    lengths = [1 + (number * 7919) % 700 for number in range(100_000)]
    rows = pack(lengths, 2048)
    assert len(rows) <= 1.01 * sum(lengths) / 2048


def test_an_example_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="9 tokens"):
        pack([3, 9], 8)
