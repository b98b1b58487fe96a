"""A job's curves from its events: one line over all attempts, and a band for each attempt on its site. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lorafleet.console.domain.records import AttemptRecord, EventKind, EventRecord

MOST_POINTS = 1500
_TABLE_ROWS = 24


@dataclass(frozen=True)
class Point:
    """A reported step. ``validation`` is the loss on held-out examples, where that was measured."""

    step: int
    fence: int
    loss: float | None
    validation: float | None


@dataclass(frozen=True)
class Band:
    """The steps that one attempt has contributed. ``colour`` numbers the site's colour, from 0."""

    fence: int
    site: str
    first: int
    last: int
    colour: int


@dataclass(frozen=True)
class Curve:
    """The line that counts: of steps that were trained twice, the later attempt's."""

    points: tuple[Point, ...]
    bands: tuple[Band, ...]
    repeated: int

    def as_data(self) -> dict[str, Any]:
        """Columns, as the chart draws them."""
        return {
            "steps": [point.step for point in self.points],
            "loss": [point.loss for point in self.points],
            "validation": [point.validation for point in self.points],
            "bands": [
                {"fence": band.fence, "site": band.site, "first": band.first, "last": band.last, "colour": band.colour}
                for band in self.bands
            ],
        }

    def table(self, rows: int = _TABLE_ROWS) -> tuple[Point, ...]:
        """Some of the points, evenly, first and last among them, for a table."""
        return tuple(_thinned(self.points, rows))


def curve(events: Iterable[EventRecord], attempts: Sequence[AttemptRecord]) -> Curve:
    """The curve of a job; ``attempts`` oldest first."""
    starts = {attempt.fence: attempt.start_step for attempt in attempts}
    kept: list[Point] = []
    repeated, fence = 0, 0
    for event in events:
        if event.kind is not EventKind.PROGRESS:
            continue
        if event.fence != fence:
            fence = event.fence
            before = len(kept)
            start = starts.get(fence, 0)
            last = kept[-1].step if kept else 0
            kept = [point for point in kept if point.step <= start]
            if len(kept) < before:
                repeated += last - (kept[-1].step if kept else start)
        point = _point(event)
        # An outbox may say the same step again.
        if kept and kept[-1].step == point.step:
            kept[-1] = _merged(kept[-1], point)
        elif not kept or point.step > kept[-1].step:
            kept.append(point)
    return Curve(tuple(_thinned(kept, MOST_POINTS)), _bands(attempts), repeated)


def colours(attempts: Iterable[AttemptRecord]) -> Mapping[str, int]:
    """A number for each site, in the order in which they came."""
    numbered: dict[str, int] = {}
    for attempt in attempts:
        numbered.setdefault(attempt.site, len(numbered))
    return numbered


def _bands(attempts: Sequence[AttemptRecord]) -> tuple[Band, ...]:
    numbered = colours(attempts)
    bands = []
    for index, attempt in enumerate(attempts):
        later = [other.start_step for other in attempts[index + 1 :]]
        last = min([attempt.step, *later])
        if last > attempt.start_step:
            bands.append(Band(attempt.fence, attempt.site, attempt.start_step, last, numbered[attempt.site]))
    return tuple(bands)


def _point(event: EventRecord) -> Point:
    metrics = event.values.get("metrics", {})
    return Point(int(event.values["step"]), event.fence, _number(metrics.get("loss")), _number(metrics.get("validation_loss")))


def _merged(old: Point, new: Point) -> Point:
    loss = old.loss if new.loss is None else new.loss
    validation = old.validation if new.validation is None else new.validation
    return Point(new.step, new.fence, loss, validation)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _thinned(points: Sequence[Point], most: int) -> Sequence[Point]:
    if len(points) <= most:
        return points
    stride = (len(points) - 1) / (most - 1)
    wanted = {round(index * stride) for index in range(most)}
    # A validation loss is rare and must not fall through the mesh.
    return [point for index, point in enumerate(points) if index in wanted or point.validation is not None]
