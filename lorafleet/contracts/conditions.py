"""Conditions that take a release back: ``errorRate > 5%``, ``latency > 2s``, or a query's name and a number."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from lorafleet.contracts.durations import format_duration, parse_duration

NAME = r"[A-Za-z][A-Za-z0-9_]{0,62}"
_NUMBER = r"-?\d{1,12}(?:\.\d{1,9})?"
_DURATION = r"(?:\d{1,9}(?:d|h|ms|m|s))+"
_PATTERN = rf"({NAME}) *(>=|<=|>|<) *({_NUMBER} ?%|{_DURATION}|{_NUMBER})"

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


class Unit(StrEnum):
    """What a threshold counts in."""

    RATIO = "ratio"
    SECONDS = "seconds"
    NUMBER = "number"


# What the console measures by itself; every other name is a query's.
MEASURED: Mapping[str, Unit] = {"errorRate": Unit.RATIO, "latency": Unit.SECONDS}


@dataclass(frozen=True)
class Condition:
    """``metric`` compared with ``threshold``: a ratio (5 % is 0.05), seconds or a plain number, as ``unit`` says."""

    metric: str
    comparison: str
    threshold: Decimal
    unit: Unit

    def broken_by(self, value: float) -> bool:
        """Whether a measured value, in :attr:`unit`, breaks the condition. NaN breaks none: having no data is judged elsewhere."""
        # As floats, so that 5 failures of 100 (0.05) are not more than 5 % (Decimal 0.05).
        return _COMPARE[self.comparison](value, float(self.threshold))

    def __str__(self) -> str:
        return f"{self.metric} {self.comparison} {self._threshold()}"

    def _threshold(self) -> str:
        if self.unit is Unit.RATIO:
            return f"{_plain(self.threshold * 100)}%"
        if self.unit is Unit.SECONDS:
            return format_duration(timedelta(milliseconds=int(self.threshold * 1000)))
        return _plain(self.threshold)


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises:
        ValueError: the text is none, or measures in the wrong unit.
    """
    found = re.fullmatch(_PATTERN, text.strip(), re.ASCII)
    if found is None:
        raise ValueError(f"{text!r} is no condition; write it as 'errorRate > 5%', 'latency > 2s' or 'name > 3'")
    metric, comparison, written = found.groups()
    if written.endswith("%"):
        threshold, unit = Decimal(written.removesuffix("%").rstrip()) / 100, Unit.RATIO
    elif written[-1].isalpha():
        threshold, unit = Decimal(parse_duration(written) // timedelta(milliseconds=1)) / 1000, Unit.SECONDS
    else:
        threshold, unit = Decimal(written), Unit.NUMBER
    needed = MEASURED.get(metric, unit)
    if unit is not needed:
        example = {"errorRate": "errorRate > 5%", "latency": "latency > 2s"}[metric]
        raise ValueError(f"{text!r}: {metric} is measured in another unit; write it as '{example}'")
    return Condition(metric, comparison, threshold, unit)


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _condition(value: Any) -> Condition:
    if isinstance(value, Condition):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no condition; write it as 'errorRate > 5%'")
    return parse_condition(value)


ConditionText = Annotated[
    Condition,
    PlainValidator(_condition),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^ *{_PATTERN} *$", "description": "A condition such as errorRate > 5%."}),
]
