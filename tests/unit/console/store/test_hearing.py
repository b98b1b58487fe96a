"""After the database or the console was away nobody is lost at once: who could not be heard is given a lease's time."""

from datetime import UTC, datetime, timedelta

from console_actors import GRACE, LIFETIME, Actors

from lorafleet.console.store.expiry import Hearing
from lorafleet.contracts.job_states import AttemptState

AWAY = 600


def look(actors: Actors, seconds: int) -> list[AttemptState]:
    """Look each second, as the console's loop does; what became unknown or lost."""
    changed = []
    for _ in range(seconds):
        actors.clock.advance(1)
        changed += [each.state for each in actors.ledger.dispatcher.expire(GRACE, LIFETIME)]
    return changed


def test_a_worker_that_comes_back_after_an_outage_goes_on(actors: Actors) -> None:
    actors.submit()
    job, fence = actors.started()
    assert look(actors, 5) == []
    actors.clock.advance(AWAY)
    assert look(actors, 25) == [AttemptState.TRAINING]
    actors.beat(job, fence)
    assert look(actors, 25) == []
    actors.publish(job, fence, 10)


def test_a_worker_that_does_not_is_lost_a_lease_after_the_outage(actors: Actors) -> None:
    actors.submit()
    actors.started()
    look(actors, 5)
    actors.clock.advance(AWAY)
    assert look(actors, LIFETIME.seconds) == [AttemptState.TRAINING]
    assert look(actors, 2) == [AttemptState.LOST]


def test_a_console_that_has_just_started_has_heard_nobody() -> None:
    hearing, now = Hearing(), datetime(2026, 1, 1, tzinfo=UTC)
    assert [hearing.seconds(now + timedelta(seconds=at)) for at in (0, 4, 8, 14, 15)] == [0, 4, 8, 0, 1]
