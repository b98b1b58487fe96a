"""The facts that leases are decided with, read at the beginning of a transaction."""

from collections.abc import Mapping

from sqlalchemy import bindparam, func, select

from lorafleet.console.domain.placement import HEARD_LATELY, Candidate, Fleet, Needs, Queued, Stable
from lorafleet.console.store.database import Row, Transaction
from lorafleet.console.store.schema import IS_LIVE, Instant, attempts, release_sites, releases, sites, stable, workers
from lorafleet.contracts.release import ReleaseState
from lorafleet.contracts.release_api import Registration

UNDER_WAY = (ReleaseState.PREPARING, ReleaseState.WATCHING, ReleaseState.PROMOTING)


_UNDER_WAY = (
    select(releases.c.id, releases.c.application, releases.c.digest, releases.c.state, releases.c.registration)
    .where(releases.c.state.in_(UNDER_WAY))
    .order_by(releases.c.number)
)
_UNDER_WAY_LOCKED = _UNDER_WAY.with_for_update(read=True)
_STABLE = select(stable)
_SITES = select(sites.c.name, sites.c.store, sites.c.paused)
_ALIVE = select(workers.c.site).where(workers.c.heard_at > bindparam("since", type_=Instant)).distinct()


def read(transaction: Transaction, lock: bool = False) -> Fleet:
    """The fleet now. With ``lock`` no release is taken back, promoted or given another share until the commit."""
    candidates = tuple(_candidate(transaction, row) for row in transaction.all(_UNDER_WAY_LOCKED if lock else _UNDER_WAY))
    places = transaction.all(_SITES)
    heard = transaction.all(_ALIVE, {"since": transaction.now - HEARD_LATELY})
    return Fleet(
        stable=tuple(
            Stable(row["application"], row["site"], row["digest"], row["release_id"], row["target_size"])
            for row in transaction.all(_STABLE)
        ),
        candidates=candidates,
        stores={row["name"]: row["store"] for row in places},
        paused=frozenset(row["name"] for row in places if row["paused"]),
        alive=frozenset(row["site"] for row in heard),
    )


def steps(transaction: Transaction, release_id: str) -> Mapping[str, Row]:
    """A release's rows by site."""
    found = transaction.all(select(release_sites).where(release_sites.c.release_id == release_id))
    return {row["site"]: row for row in found}


def running(transaction: Transaction) -> Mapping[tuple[str, str], int]:
    """How many attempts run, by site and digest."""
    statement = select(attempts.c.site, attempts.c.digest, func.count().label("count")).where(IS_LIVE)
    found = transaction.all(statement.group_by(attempts.c.site, attempts.c.digest))
    return {(row["site"], row["digest"]): row["count"] for row in found}


def queued(row: Row) -> Queued:
    """A row of ``jobs`` as the placement sees it."""
    return Queued(
        id=row["id"],
        needs=Needs(row["gpus"], row["min_memory_mib"]),
        submitted_at=row["submitted_at"],
        data_stores=row["data_stores"],
        leased_before=row["fence"] > 0,
        avoid_release=row["avoid_release"],
    )


def _candidate(transaction: Transaction, row: Row) -> Candidate:
    given = steps(transaction, row["id"])
    shares = {}
    for site in Registration.model_validate(row["registration"]).sites:
        if step := given[site.site]["step"]:
            shares[site.site] = site.schedule[step - 1]
    return Candidate(row["id"], row["application"], row["digest"], ReleaseState(row["state"]), shares)
