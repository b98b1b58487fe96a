"""Making a candidate the stable release: all requests go to it; once that is settled, the old one's leases drain to a deadline."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from lorafleet.console.store import chain, fleet, rollback
from lorafleet.console.store.database import Row, Transaction
from lorafleet.console.store.schema import IS_LIVE, attempts, jobs, release_sites, releases, stable
from lorafleet.contracts.jobs import Order
from lorafleet.contracts.release import ReleaseState
from lorafleet.contracts.release_api import Registration, StageAnswer, StageStatus

HAND_BACK = timedelta(minutes=10)
"""How long after the drain's end a worker may take to save and hand back; then its lease is revoked."""


def begin(transaction: Transaction, row: Row, passed: Sequence[str], actor: str) -> Row:
    """Give a release, whose row is locked, every request of the sites where its newest watch passed; the others keep the old one."""
    for site in Registration.model_validate(row["registration"]).sites:
        here = (release_sites.c.release_id == row["id"]) & (release_sites.c.site == site.site)
        promoted = site.site in passed
        statement = update(release_sites).where(here)
        transaction.execute(statement.values(step=len(site.schedule) if promoted else 0, promoted=promoted))
    values = {"state": ReleaseState.PROMOTING, "promoted_at": transaction.now, "updated_at": transaction.now}
    transaction.execute(update(releases).where(releases.c.id == row["id"]).values(values))
    chain.append(transaction, chain.FLEET, actor, "release.promote", row["id"], {"sites": sorted(passed)})
    return {**row, **values}


def settle(transaction: Transaction, row: Row, actor: str) -> Row:
    """Make a promotion, whose row is locked, final: from here on nothing takes it back."""
    values = {"settled_at": transaction.now, "updated_at": transaction.now}
    transaction.execute(update(releases).where(releases.c.id == row["id"]).values(values))
    chain.append(transaction, chain.FLEET, actor, "release.settle", row["id"], {})
    return {**row, **values}


def advance(transaction: Transaction, row: Row) -> StageAnswer:
    """Drain the old release where this one is promoted; PASS once nothing of it runs there."""
    registration = Registration.model_validate(row["registration"])
    until: datetime = row["settled_at"] + registration.drain
    old = _old(transaction, row)
    live = and_(IS_LIVE, or_(*(and_(attempts.c.site == each["site"], attempts.c.digest == each["digest"]) for each in old)))
    left = _count(transaction, live) if old else 0
    if left and transaction.now >= until:
        transaction.execute(update(attempts).where(live, attempts.c.ordered != Order.STOP).values(ordered=Order.HAND_BACK))
    if left and transaction.now >= until + HAND_BACK:
        names = select(attempts.c.job).where(live)
        locked = transaction.all(select(jobs).where(jobs.c.id.in_(names)).order_by(jobs.c.id).with_for_update())
        for release in {each["release_id"] for each in old}:
            rollback.revoke(transaction, locked, release)
        left = _count(transaction, live)
    if left:
        what = f"{left} {'lease' if left == 1 else 'leases'} of the old release"
        return StageAnswer(status=StageStatus.RUNNING, detail=f"{what} may finish until {until:%H:%M:%S} UTC")
    _finish(transaction, row, registration)
    return StageAnswer(status=StageStatus.PASS, detail=f"stable in {', '.join(_promoted(transaction, row))}")


def under_way(transaction: Transaction) -> Sequence[str]:
    """Releases whose promotion is settled, while leases of the old one drain."""
    draining = (releases.c.state == ReleaseState.PROMOTING) & releases.c.settled_at.is_not(None)
    return [row["id"] for row in transaction.all(select(releases.c.id).where(draining))]


def resume(transaction: Transaction, release: str) -> None:
    """:func:`advance` a release if the old one still drains."""
    row = rollback.lock(transaction, release)
    if row["state"] == ReleaseState.PROMOTING and row["settled_at"] is not None:
        advance(transaction, row)


def _finish(transaction: Transaction, row: Row, registration: Registration) -> None:
    sizes = {site.site: site.target_size for site in registration.sites}
    dialect = postgresql if transaction.postgres else sqlite
    before = {each["release_id"] for each in _old(transaction, row)}
    for site in _promoted(transaction, row):
        values = {"digest": row["digest"], "release_id": row["id"], "target_size": sizes[site]}
        statement = dialect.insert(stable).values(application=row["application"], site=site, **values)
        transaction.execute(statement.on_conflict_do_update(index_elements=["application", "site"], set_=values))
    over = releases.c.id.in_(before) & releases.c.id.not_in(select(stable.c.release_id).where(stable.c.release_id.is_not(None)))
    transaction.execute(update(releases).where(over).values(state=ReleaseState.RETIRED, updated_at=transaction.now))
    values = {"state": ReleaseState.STABLE, "updated_at": transaction.now}
    transaction.execute(update(releases).where(releases.c.id == row["id"]).values(values))


def _promoted(transaction: Transaction, row: Row) -> list[str]:
    return sorted(site for site, each in fleet.steps(transaction, row["id"]).items() if each["promoted"])


def _old(transaction: Transaction, row: Row) -> Sequence[Row]:
    here = (stable.c.application == row["application"]) & stable.c.site.in_(_promoted(transaction, row))
    return transaction.all(select(stable).where(here, stable.c.digest != row["digest"]))


def _count(transaction: Transaction, live: ColumnElement[bool]) -> int:
    return transaction.number(select(func.count()).select_from(attempts).where(live))
