"""A job's curve over its attempts: one line that never goes back, and bands that do not overlap."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from lorafleet.console.domain.records import AttemptRecord, EventKind, EventRecord
from lorafleet.console.web.curves import MOST_POINTS, curve
from lorafleet.contracts.job_states import AttemptState
from lorafleet.contracts.release import Track

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def attempt(fence: int, start: int, end: int, site: str = "a") -> AttemptRecord:
    return AttemptRecord(
        "job", fence, site, "w", "sha256:" + "a" * 64, Track.STABLE, AttemptState.LOST, NOW, NOW, step=end, start_step=start
    )


def said(fence: int, step: int, **metrics: float) -> EventRecord:
    return EventRecord(step, "job", EventKind.PROGRESS, NOW, fence, {"step": step, "metrics": metrics})


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[EventRecord], list[AttemptRecord]]:
    events: list[EventRecord] = []
    attempts: list[AttemptRecord] = []
    start = 0
    for fence in range(1, draw(st.integers(1, 5)) + 1):
        end = start + draw(st.integers(0, 30))
        attempts.append(attempt(fence, start, end, draw(st.sampled_from("abc"))))
        events += [said(fence, step, loss=float(fence)) for step in range(start + 1, end + 1)]
        start = draw(st.integers(0, end))
    return events, attempts


@given(histories())
def test_the_line_goes_forward_and_each_step_is_the_newest_attempts(history: tuple[list[EventRecord], list[AttemptRecord]]) -> None:
    events, attempts = history
    found = curve(events, attempts)
    steps = [point.step for point in found.points]
    assert steps == sorted(set(steps))
    newest = {event.values["step"]: event.fence for event in events}
    last_start = {
        each.fence: min([other.start_step for other in attempts if other.fence > each.fence], default=10**9) for each in attempts
    }
    for point in found.points:
        assert point.step <= last_start[point.fence] or newest[point.step] == point.fence
    for earlier, later in zip(found.bands, found.bands[1:], strict=False):
        assert earlier.last <= later.first
    assert all(band.first < band.last for band in found.bands)


def test_a_takeover_repeats_what_came_after_the_checkpoint() -> None:
    events = [said(1, step, loss=1.0) for step in range(1, 8)] + [said(2, step, loss=0.5) for step in range(5, 10)]
    found = curve(events, [attempt(1, 0, 7, "aws"), attempt(2, 4, 9, "gcp")])
    assert [point.loss for point in found.points] == [1.0] * 4 + [0.5] * 5
    assert found.repeated == 3
    assert [(band.site, band.first, band.last, band.colour) for band in found.bands] == [("aws", 0, 4, 0), ("gcp", 4, 9, 1)]


def test_validation_joins_its_step_and_is_never_thinned_out() -> None:
    events = [said(1, step, loss=1.0) for step in range(1, 5 * MOST_POINTS)]
    events.insert(1234, replace(said(1, 1234, validation_loss=0.25), number=0))
    found = curve(events, [attempt(1, 0, 5 * MOST_POINTS)])
    assert len(found.points) <= MOST_POINTS + 1
    assert [(point.step, point.loss, point.validation) for point in found.points if point.validation] == [(1234, 1.0, 0.25)]
    assert (found.points[0].step, found.points[-1].step) == (1, 5 * MOST_POINTS - 1)
    assert len(found.table()) <= 25
