"""Taking a candidate back: share 0 in every site, its leases revoked and its checkpoints passed over, in one transaction."""

from collections.abc import Sequence

from sqlalchemy import select, update

from lorafleet.console.domain import endings as rules
from lorafleet.console.domain.judgement import in_words
from lorafleet.console.domain.records import EventKind
from lorafleet.console.domain.refusals import NotFound
from lorafleet.console.store import chain, endings
from lorafleet.console.store.database import Row, Transaction
from lorafleet.console.store.fleet import UNDER_WAY
from lorafleet.console.store.queue import published_step
from lorafleet.console.store.schema import IS_LIVE, attempts, checkpoints, jobs, releases, watches
from lorafleet.contracts.job_states import AttemptState, JobState
from lorafleet.contracts.jobs import JobKind
from lorafleet.contracts.release import Breach, HardFault, ReleaseState
from lorafleet.contracts.release_api import StageStatus

_ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


def lock(transaction: Transaction, release: str) -> Row:
    """A release's row, which nobody else changes or leases for until the commit. Raises NotFound."""
    row = transaction.one(select(releases).where(releases.c.id == release).with_for_update())
    if row is None:
        raise NotFound(f"there is no release {release}")
    return row


def take_back(transaction: Transaction, row: Row, reason: str, actor: str, breaches: Sequence[Breach] = ()) -> None:
    """Roll back a release that is under way; its row is locked. One that is over, or settled, stays as it is."""
    if row["state"] not in UNDER_WAY or row["settled_at"] is not None:
        return
    release: str = row["id"]
    values = {
        "state": ReleaseState.ROLLED_BACK, "reason": reason[:500], "breaches": [each.model_dump(mode="json") for each in breaches],
        "updated_at": transaction.now,
    }  # fmt: skip
    transaction.execute(update(releases).where(releases.c.id == release).values(values))
    watched = (watches.c.release_id == release) & (watches.c.status == StageStatus.RUNNING)
    transaction.execute(update(watches).where(watched).values(status=StageStatus.FAIL, detail=reason[:500]))
    its_leases = select(attempts.c.job).where(attempts.c.release_id == release, IS_LIVE)
    its_checkpoints = select(checkpoints.c.job).where(checkpoints.c.release_id == release)
    touched = select(jobs).where(jobs.c.id.in_(its_leases.union(its_checkpoints)), jobs.c.state.not_in(_ENDED))
    revoke(transaction, transaction.all(touched.order_by(jobs.c.id).with_for_update()), release)
    chain.append(transaction, chain.FLEET, actor, "release.rollback", release, {"reason": reason})


def revoke(transaction: Transaction, locked: Sequence[Row], release: str | None) -> None:
    """Take the leases of these jobs back where they are this release's, and let each job stand where it is published."""
    for row in locked:
        live = (attempts.c.job == row["id"]) & (attempts.c.fence == row["fence"]) & IS_LIVE
        attempt = transaction.one(select(attempts).where(live))
        published = published_step(transaction, row["id"])
        if attempt is None or attempt["release_id"] != release:
            transaction.execute(update(jobs).where(jobs.c.id == row["id"]).values(published_step=published))
            continue
        endings.end_attempt(transaction, row, AttemptState.REVOKED, EventKind.REVOKED)
        after = rules.after_revocation(row["failures"], JobKind(row["kind"]), row["cancel_requested"])
        endings.settle(transaction, row, after, published_step=published)


def cannot_start(transaction: Transaction, attempt: Row) -> None:
    """Take a candidate back whose attempt failed by ``release`` before its first heartbeat, which is sent after CUDA init."""
    row = lock(transaction, attempt["release_id"])
    breach = Breach(site=attempt["site"], at=transaction.now, fault=HardFault.CUDA_INIT)
    take_back(transaction, row, in_words([breach]), "guard", [breach])
