"""Keyset pages: the next one begins after a row's number, so that it costs the same however far one has come."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from lorafleet.console.domain.records import Page
from lorafleet.console.domain.refusals import Unprocessable
from lorafleet.console.store.database import Row

Record = TypeVar("Record")
LARGEST = 500


def position(after: str | None) -> int | None:
    """The number that a page's ``after`` stands for.

    Raises:
        Unprocessable: it was made up.
    """
    if after is None:
        return None
    if not after.isascii() or not after.isdecimal() or len(after) > 18:
        raise Unprocessable("this is no place in a list", hint="take 'after' from the page before, or leave it out")
    return int(after)


def size(limit: int) -> int:
    """How many rows a page has.

    Raises:
        Unprocessable: more than :data:`LARGEST`, or none.
    """
    if not 1 <= limit <= LARGEST:
        raise Unprocessable(f"a page has 1 to {LARGEST} rows, not {limit}")
    return limit


def page(rows: Sequence[Row], limit: int, record: Callable[[Row], Record]) -> Page[Record]:
    """A page of up to ``limit`` rows out of at most one more, which tells whether there is a next page."""
    shown = rows[:limit]
    return Page(tuple(record(row) for row in shown), str(shown[-1]["number"]) if len(rows) > limit else None)
