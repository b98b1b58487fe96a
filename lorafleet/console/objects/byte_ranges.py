"""The Range header of HTTP (RFC 9110, 14.2), as far as it names one range of bytes."""

import re

_RANGE = re.compile(r"bytes=(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})")


class UnsatisfiableRangeError(Exception):
    """The range begins after the object's end. Its text is safe to show."""


def read_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last; None where the whole object of ``size`` bytes is to be sent.

    Raises:
        UnsatisfiableRangeError: there is no such byte.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    # A server may ignore what it does not understand, such as several ranges.
    if found is None or not (found["first"] or found["last"]):
        return None
    if found["first"]:
        first = int(found["first"])
        end = min(int(found["last"]) + 1, size) if found["last"] else size
        if found["last"] and int(found["last"]) < first:
            return None
    else:
        first, end = max(size - int(found["last"]), 0), size
    if first >= end:
        raise UnsatisfiableRangeError(f"the object has {size} bytes")
    return first, end
