from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from lorafleet.contracts.durations import Duration, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "length", "canonical"),
    [
        ("90s", timedelta(seconds=90), "1m30s"),
        ("500ms", timedelta(milliseconds=500), "500ms"),
        ("1h30m", timedelta(minutes=90), "1h30m"),
        ("2d", timedelta(days=2), "2d"),
        ("1500ms", timedelta(seconds=1.5), "1s500ms"),
        ("0s", timedelta(0), "0s"),
        ("5m1ms", timedelta(minutes=5, milliseconds=1), "5m1ms"),
    ],
)
def test_lengths_as_people_write_them(text: str, length: timedelta, canonical: str) -> None:
    assert parse_duration(text) == length
    assert format_duration(length) == canonical


@given(st.timedeltas(timedelta(0), timedelta(days=366)))
def test_what_is_written_is_read_back_to_the_millisecond(length: timedelta) -> None:
    assert parse_duration(format_duration(length)) == length - length % timedelta(milliseconds=1)


@pytest.mark.parametrize(
    "text", ["", "90", "s", "1.5s", "-5s", "5 s", "30m1h", "1s1s", "1h 30m", "5S", "٣s", "5s\n", "367d", "1" * 10 + "s"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"length of time|too long"):
        parse_duration(text)


def test_a_number_without_a_unit_is_refused() -> None:
    adapter = TypeAdapter(Duration)
    assert adapter.validate_python("90s") == timedelta(seconds=90)
    assert adapter.dump_python(timedelta(seconds=90)) == "1m30s"
    for value in (90, 90.0, True, None):
        with pytest.raises(ValidationError, match="no unit"):
            adapter.validate_python(value)
