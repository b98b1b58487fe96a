"""Probe jobs: tiny real trainings that give a watched candidate its samples where users' jobs are few.

One is made at the moment when a worker of the candidate asks and no user's job is drawn for it, so that none ever waits.
"""

import logging
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select

from lorafleet.console.domain.naming import new_id
from lorafleet.console.domain.placement import Place
from lorafleet.console.domain.records import Submission
from lorafleet.console.domain.refusals import NotFound, Unprocessable
from lorafleet.console.store.database import Row, Transaction
from lorafleet.console.store.jobs import enqueue
from lorafleet.console.store.schema import IS_LIVE, attempts, probes, releases, watches
from lorafleet.contracts.jobs import JobKind
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.release import Track
from lorafleet.contracts.release_api import StageStatus

SOON = timedelta(seconds=30)
"""How long an attempt is waited for as the sample that it may become. A person's job may train for hours, and a probe may hang."""

_log = logging.getLogger(__name__)

_SAMPLES = (OutcomeClass.SUCCEEDED, OutcomeClass.RELEASE)


def set_template(transaction: Transaction, team: str, submission: Submission | None) -> None:
    """What a probe trains; None: no probes."""
    transaction.execute(delete(probes))
    if submission is not None:
        plain = {**asdict(submission), "training": dict(submission.training), "kind": JobKind.PROBE}
        transaction.execute(insert(probes).values(id=1, team=team, submission=plain))


def make(transaction: Transaction, place: Place, being_leased: int) -> Row | None:
    """A probe for a worker in this place, or None where no sample is lacking, or no template is set that can still be trained.

    ``being_leased`` jobs of the place are not in the tables yet.
    """
    if place.track is not Track.CANDIDATE or place.release_id is None:
        return None
    if lacking(transaction, place.release_id, place.site) <= being_leased:
        return None
    template = transaction.one(select(probes))
    if template is None:
        return None
    values: dict[str, Any] = {**template["submission"], "kind": JobKind.PROBE}
    try:
        return enqueue(transaction, template["team"], Submission(**values), "console", new_id("probe", "probe"))
    except (NotFound, Unprocessable) as error:
        # People's jobs that are leased in the same transaction must not fail with it.
        _log.warning("no probe for release %s: %s", place.release_id, error)
        return None


def lacking(transaction: Transaction, release_id: str, site: str) -> int:
    """How many samples a watched candidate still needs in a site, beside those that will be there soon."""
    watched = select(watches.c.id).where(
        watches.c.release_id == release_id, watches.c.site == site, watches.c.status == StageStatus.RUNNING
    )
    if transaction.one(watched.limit(1)) is None:
        return 0
    registration = transaction.execute(select(releases.c.registration).where(releases.c.id == release_id)).scalar_one()
    here = (attempts.c.release_id == release_id) & (attempts.c.site == site)
    made = select(func.count()).select_from(attempts).where(here, attempts.c.outcome.in_(_SAMPLES))
    young = attempts.c.leased_at > transaction.now - SOON
    under_way = select(func.count()).select_from(attempts).where(here, IS_LIVE, young)
    return int(registration["min_samples"]) - transaction.number(made) - transaction.number(under_way)


def wanted(transaction: Transaction) -> bool:
    """Whether there is a template at all."""
    return transaction.one(select(probes.c.id)) is not None
