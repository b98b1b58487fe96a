"""Sites and workers: who is there, and when they were last heard of."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from lorafleet.console.domain.placement import HEARD_LATELY
from lorafleet.console.domain.records import SiteRecord, WorkerRecord
from lorafleet.console.store.database import Database, Transaction
from lorafleet.console.store.schema import IS_LIVE, attempts, sites, workers
from lorafleet.contracts.jobs import LeaseRequest

# A worker that polls is not written down at each poll.
_AGAIN = timedelta(seconds=5)


class Presence:
    """What this process has noted of workers that ask for jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[tuple[str, str], tuple[datetime, LeaseRequest]] = {}

    def note(self, requests: Sequence[LeaseRequest]) -> None:
        """Write down that these workers ask, unless that was done a moment ago."""
        now = self._database.about_now()
        wanted = {(request.site, request.worker): request for request in requests}
        unheard = {key: request for key, request in sorted(wanted.items()) if not self._fresh(key, request, now)}
        if unheard:
            with self._database.write(durable=False) as transaction:
                _write(transaction, list(unheard.values()))
            fresh = {key: value for key, value in tuple(self._noted.items()) if now - value[0] < _AGAIN}
            self._noted = fresh | {key: (now, request) for key, request in unheard.items()}

    def _fresh(self, key: tuple[str, str], request: LeaseRequest, now: datetime) -> bool:
        if (noted := self._noted.get(key)) is None:
            return False
        at, last = noted
        return now - at < _AGAIN and (last.release, last.gpus) == (request.release, request.gpus)


def heard(transaction: Transaction) -> Sequence[WorkerRecord]:
    """Workers that asked or sent a heartbeat lately, with what they do."""
    live = transaction.all(select(attempts).where(IS_LIVE).order_by(attempts.c.leased_at))
    busy = {(row["site"], row["worker"]): row for row in live}
    found = []
    for row in transaction.all(select(workers).order_by(workers.c.site, workers.c.worker)):
        attempt = busy.get((row["site"], row["worker"]))
        at: datetime = row["heard_at"]
        if attempt is not None:
            at = max(at, attempt["last_heartbeat_at"] or attempt["leased_at"])
        if at > transaction.now - HEARD_LATELY:
            job = None if attempt is None else attempt["job"]
            found.append(WorkerRecord(row["site"], row["worker"], row["digest"], tuple(row["gpus"]), at, job))
    return found


def known_sites(transaction: Transaction) -> Sequence[SiteRecord]:
    """Every site by name; one that only its workers told of has no store."""
    alive = heard(transaction)
    last = {
        row["site"]: row["at"]
        for row in transaction.all(select(workers.c.site, func.max(workers.c.heard_at).label("at")).group_by(workers.c.site))
    }
    found = []
    for row in transaction.all(select(sites).order_by(sites.c.name)):
        here = [worker for worker in alive if worker.site == row["name"]]
        at = max((worker.heard_at for worker in here), default=last.get(row["name"]))
        found.append(
            SiteRecord(row["name"], row["cloud"], row["region"], row["store"], heard_at=at, workers=len(here), paused=row["paused"])
        )
    return found


def put_site(transaction: Transaction, site: SiteRecord) -> None:
    """Insert or change a site."""
    dialect = postgresql if transaction.postgres else sqlite
    values = {"cloud": site.cloud, "region": site.region, "store": site.store, "paused": site.paused}
    statement = dialect.insert(sites).values(name=site.name, **values)
    transaction.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


def _write(transaction: Transaction, requests: Sequence[LeaseRequest]) -> None:
    dialect = postgresql if transaction.postgres else sqlite
    statement = dialect.insert(workers)
    statement = statement.on_conflict_do_update(
        index_elements=["site", "worker"],
        set_={name: statement.excluded[name] for name in ("digest", "gpus", "heard_at")},
    )
    rows = [
        {
            "site": request.site, "worker": request.worker, "digest": request.release, "gpus": _gpus(request),
            "heard_at": transaction.now,
        }
        for request in requests
    ]  # fmt: skip
    transaction.execute(statement, rows)


def _gpus(request: LeaseRequest) -> list[dict[str, object]]:
    return [slot.model_dump(mode="json") for slot in request.gpus]
