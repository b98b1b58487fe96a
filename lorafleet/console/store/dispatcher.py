"""Leases, sites and workers: what :class:`lorafleet.console.ports.Dispatcher` asks for beside the reports of attempts."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select, union_all
from sqlalchemy.dialects import postgresql, sqlite

from lorafleet.console.domain.records import AttemptRecord, JobRecord, SiteRecord, WorkerRecord
from lorafleet.console.store import demand, expiry, fleet, presence, probes, promotion, queue, rows
from lorafleet.console.store.database import Database
from lorafleet.console.store.fence import NEWEST, refused
from lorafleet.console.store.reports import SqlReports
from lorafleet.console.store.schema import IS_WAITING, jobs, quotas, watches
from lorafleet.contracts.jobs import DesiredWorkers, Job, LeaseRequest
from lorafleet.contracts.release_api import StageStatus

# A waiting job, or a watch that probes may be made for.
_ANY_WORK = union_all(
    select(jobs.c.id).where(IS_WAITING).limit(1).subquery().select(),
    select(watches.c.id).where(watches.c.status == StageStatus.RUNNING).limit(1).subquery().select(),
).limit(1)

Leased = tuple[Job, int, datetime]


class SqlDispatcher(SqlReports):
    """:class:`lorafleet.console.ports.Dispatcher`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._presence = presence.Presence(database)
        self._hearing = expiry.Hearing()

    def lease(self, request: LeaseRequest, lifetime: timedelta) -> Leased | None:
        """One worker's :meth:`lease_many`."""
        return self.lease_many([request], lifetime)[0]

    def lease_many(self, requests: Sequence[LeaseRequest], lifetime: timedelta) -> Sequence[Leased | None]:
        """Jobs for these workers, in one transaction; None where nothing fits now."""
        self._presence.note(requests)
        answers: list[Leased | None] = [None] * len(requests)
        with self._database.read() as transaction:
            # Whoever polls an empty queue holds nobody up.
            if transaction.one(_ANY_WORK) is None:
                return answers
        with self._database.write() as transaction:
            facts = fleet.read(transaction, lock=True)
            asking = [
                (index, request, place)
                for index, request in enumerate(requests)
                if (place := facts.place(request.site, request.release)) is not None
            ]
            if not asking:
                return answers
            lost = [facts.stores[site] for site in facts.paused if site in facts.stores]
            picked = queue.pick(transaction, facts, [request for _, request, _ in asking], [place for _, _, place in asking])
            granted: dict[int, queue.Granted] = {}
            for position, (index, request, place) in enumerate(asking):
                row = picked.get(position)
                if row is None:
                    row = probes.make(transaction, place, sum(each.place == place for each in granted.values()))
                if row is not None:
                    granted[index] = queue.grant(transaction, row, request, place, lifetime, lost)
            queue.write(transaction, list(granted.values()))
        for index, each in granted.items():
            answers[index] = each.taken
        return answers

    def lose_not_begun(self, site: str, worker: str) -> None:
        """End leases that a worker which asks for a job has never begun: the answer with them was lost on its way."""
        with self._database.read() as transaction:
            found = expiry.not_begun(transaction, site, worker)
        if found:
            with self._database.write() as transaction:
                expiry.lose_not_begun(transaction, found)

    def leased(self, job: str, fence: int) -> JobRecord:
        """The job that this lease holds. Raises Fenced."""
        with self._database.read() as transaction:
            row = transaction.one(select(jobs).where(jobs.c.id == job, NEWEST), {"key_fence": fence})
        if row is None:
            raise refused(job, fence)
        return rows.job(row)

    def expire(self, grace: timedelta, lifetime: timedelta | None = None) -> Sequence[AttemptRecord]:
        """Attempts that have become unknown or lost with this call. Promotions go on too, whether a pipeline asks or not.

        With ``lifetime``, that of leases, none is lost before workers had so long to be heard again after the database or this
        console was away: their leases ran out meanwhile, and they train on.
        """
        with self._database.read() as transaction:
            late, promoting = expiry.due(transaction), promotion.under_way(transaction)
            self._hearing.seconds(transaction.now)
        for release in promoting:
            with self._database.write() as transaction:
                promotion.resume(transaction, release)
        if not late:
            return []
        with self._database.write() as transaction:
            heard = self._hearing.seconds(transaction.now)
            return expiry.expire(transaction, grace, lose=lifetime is None or heard >= lifetime.total_seconds())

    def desired_workers(self) -> Sequence[DesiredWorkers]:
        """How many workers each site should run of each release that matters there; 0 is said too."""
        with self._database.read() as transaction:
            return demand.desired_workers(transaction)

    def sites(self) -> Sequence[SiteRecord]:
        """By name."""
        with self._database.read() as transaction:
            return presence.known_sites(transaction)

    def put_site(self, site: SiteRecord) -> None:
        """Make a site known or change it; what was heard of it stays."""
        with self._database.write() as transaction:
            presence.put_site(transaction, site)

    def workers(self) -> Sequence[WorkerRecord]:
        """Those heard of within the last minute, by site and name."""
        with self._database.read() as transaction:
            return presence.heard(transaction)

    def set_quota(self, team: str, max_running: int | None) -> None:
        """How many jobs of a team may run at once; None lifts the limit."""
        with self._database.write() as transaction:
            if max_running is None:
                transaction.execute(delete(quotas).where(quotas.c.team == team))
                return
            dialect = postgresql if transaction.postgres else sqlite
            statement = dialect.insert(quotas).values(team=team, max_running=max_running)
            transaction.execute(statement.on_conflict_do_update(index_elements=["team"], set_={"max_running": max_running}))

    def quota(self, team: str) -> int | None:
        """A team's limit."""
        with self._database.read() as transaction:
            row = transaction.one(select(quotas).where(quotas.c.team == team))
        return None if row is None else row["max_running"]
