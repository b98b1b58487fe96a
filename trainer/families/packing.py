"""Which examples share a row, so that rows are filled with tokens instead of padding."""

from bisect import bisect_left, insort
from collections.abc import Sequence

Pack = tuple[int, ...]


def pack(lengths: Sequence[int], capacity: int) -> list[Pack]:
    """Examples by row: best-fit-decreasing bin packing, a pure function of its arguments.

    Every example is in exactly one row and no row holds more than ``capacity`` tokens. Best-fit-decreasing needs at most 11/9 of the
    fewest possible rows, and one (Johnson, 1973). Examples of a row and rows are in the order of their first appearance.
    """
    too_long = [length for length in lengths if length > capacity]
    if too_long:
        raise ValueError(f"an example of {max(too_long)} tokens does not fit a row of {capacity}")
    rows: list[list[int]] = []
    room: list[int] = []  # distinct numbers of free tokens, ascending
    rows_by_room: dict[int, list[int]] = {}

    def put_back(row: int, free: int) -> None:
        if free not in rows_by_room:
            insort(room, free)
            rows_by_room[free] = []
        rows_by_room[free].append(row)

    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        tightest = bisect_left(room, lengths[index])
        if tightest == len(room):
            rows.append([index])
            put_back(len(rows) - 1, capacity - lengths[index])
            continue
        free = room[tightest]
        row = rows_by_room[free].pop()
        if not rows_by_room[free]:
            del rows_by_room[free]
            del room[tightest]
        rows[row].append(index)
        put_back(row, free - lengths[index])
    return sorted(tuple(sorted(row)) for row in rows)
