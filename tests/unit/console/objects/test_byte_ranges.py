import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.console.objects.byte_ranges import UnsatisfiableRangeError, read_range


@given(st.integers(1, 1000), st.integers(0, 1200), st.none() | st.integers(0, 1200))
def test_first_and_last(size: int, first: int, last: int | None) -> None:
    header = f"bytes={first}-{'' if last is None else last}"
    wanted = list(range(size))[first : None if last is None else last + 1]
    if last is not None and last < first:
        assert read_range(header, size) is None
    elif not wanted:
        with pytest.raises(UnsatisfiableRangeError):
            read_range(header, size)
    else:
        assert read_range(header, size) == (wanted[0], wanted[-1] + 1)


@given(st.integers(1, 1000), st.integers(1, 1200))
def test_the_last_bytes(size: int, count: int) -> None:
    assert read_range(f"bytes=-{count}", size) == (max(0, size - count), size)


@pytest.mark.parametrize("header", [None, "", "bytes=-", "bytes=1-2,4-5", "lines=1-2", "bytes=a-b", "bytes=-٣"])
def test_what_is_no_single_range_is_the_whole(header: str | None) -> None:
    assert read_range(header, 10) is None


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-0", "bytes=-5"])
def test_an_empty_object_has_no_range(header: str) -> None:
    with pytest.raises(UnsatisfiableRangeError):
        read_range(header, 0)
