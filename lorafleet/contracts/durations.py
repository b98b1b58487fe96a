"""Lengths of time as people write them: ``500ms``, ``90s``, ``1h30m``."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_PATTERN = r"(?:\d{1,9}(?:d|h|ms|m|s))+"
_LONGEST = timedelta(days=366)


def parse_duration(text: str) -> timedelta:
    """Read a length of time: whole numbers with the units d, h, m, s and ms, largest first, each at most once.

    Raises:
        ValueError: the text is none, or longer than 366 days.
    """
    parts = re.findall(r"(\d+)(d|h|ms|m|s)", text) if re.fullmatch(_PATTERN, text, re.ASCII) else []
    units = [unit for _, unit in parts]
    if not parts or units != [unit for unit in _MILLISECONDS if unit in units]:
        raise ValueError(f"{text!r} is no length of time; write it as 90s, 5m or 1h30m")
    length = timedelta(milliseconds=sum(int(number) * _MILLISECONDS[unit] for number, unit in parts))
    if length > _LONGEST:
        raise ValueError(f"{text!r} is too long; at most {format_duration(_LONGEST)}")
    return length


def format_duration(length: timedelta) -> str:
    """Write a length of time so that :func:`parse_duration` reads it back; fractions of a millisecond are dropped."""
    left = length // timedelta(milliseconds=1)
    parts = []
    for unit, size in _MILLISECONDS.items():
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} has no unit; write it as 90s, 5m or 1h30m")
    return parse_duration(value)


Duration = Annotated[
    timedelta,
    PlainValidator(_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_PATTERN}$", "description": "A length of time such as 90s, 5m or 1h30m."}),
]
