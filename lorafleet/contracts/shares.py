"""Shares of training requests: how large, which job falls into one, and how a release's share grows."""

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

WHOLE = 10_000
"""Draws and shares count in ten-thousandths."""

_PATTERN = r"\d{1,3}(?:\.\d{1,2})? ?%"


@dataclass(frozen=True, order=True)
class Share:
    """A part of the training requests in basis points: 10 000 are all of them."""

    basis_points: int

    def __post_init__(self) -> None:
        if not 0 <= self.basis_points <= WHOLE:
            raise ValueError("a share lies between 0% and 100%")

    @property
    def ratio(self) -> float:
        """Between 0 and 1."""
        return self.basis_points / WHOLE

    def takes(self, drawn: int) -> bool:
        """Whether a job with this draw belongs to the share. A job in a share is also in every larger one."""
        return drawn < self.basis_points

    def __str__(self) -> str:
        # Decimal's g would write 100 as 1E+2.
        return f"{(Decimal(self.basis_points) / 100).normalize():f}%"


NONE = Share(0)
ALL = Share(WHOLE)


def parse_share(text: str) -> Share:
    """Read a percentage such as ``10%`` or ``0.5%``, with at most two decimals.

    Raises:
        ValueError: the text is none, or more than 100 %.
    """
    if re.fullmatch(_PATTERN, text, re.ASCII) is None:
        raise ValueError(f"{text!r} is no share; write it as 10%")
    return Share(int(Decimal(text.removesuffix("%").rstrip()) * 100))


def draw(job: str, release: str) -> int:
    """A job's draw for a release, 0 to 9999, evenly spread: the same on every machine, drawn anew for another release."""
    return int.from_bytes(sha256(f"{job}\0{release}".encode()).digest()[:16], "big") % WHOLE


def chosen(job: str, release: str, share: Share) -> bool:
    """Whether a job falls to a release with this share. What is chosen stays chosen while the share grows."""
    return share.takes(draw(job, release))


class Strategy(StrEnum):
    """How a release takes over a site."""

    CANARY = "canary"
    BLUEGREEN = "bluegreen"
    ROLLING = "rolling"


DEFAULT_SHARES = {Strategy.CANARY: Share(1000), Strategy.BLUEGREEN: ALL, Strategy.ROLLING: Share(2500)}


def schedule(strategy: Strategy, share: Share) -> tuple[Share, ...]:
    """The shares that a candidate gets one after the other, each watched before the next; the last is everything.

    A canary has ``share`` and then all. A rolling release grows by ``share``. Blue-green switches at once: its share is 100 %.

    Raises:
        ValueError: the share does not fit the strategy.
    """
    if strategy is Strategy.BLUEGREEN:
        if share != ALL:
            raise ValueError(f"bluegreen switches all requests at once; leave share out instead of {share}")
        return (ALL,)
    if share == NONE:
        raise ValueError(f"a {strategy} release with a share of 0% would never be seen at work")
    if strategy is Strategy.CANARY:
        return (share,) if share == ALL else (share, ALL)
    return (*(Share(points) for points in range(share.basis_points, WHOLE, share.basis_points)), ALL)


def _share(value: Any) -> Share:
    if isinstance(value, Share):
        return value
    if not isinstance(value, str):
        # 10 could mean 10 % as well as tenfold.
        raise ValueError(f"{value!r} has no percent sign; write it as 10%")
    return parse_share(value)


Percentage = Annotated[
    Share,
    PlainValidator(_share),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_PATTERN}$", "description": "A percentage from 0% to 100%."}),
]
