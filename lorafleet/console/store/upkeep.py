"""What the console's own loops and metrics ask for, over all teams."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import and_, func, or_, select, tuple_, union, update

from lorafleet.console.domain.records import Holding, Series
from lorafleet.console.store import retention, tallies
from lorafleet.console.store.database import Database
from lorafleet.console.store.rows import published
from lorafleet.console.store.schema import checkpoints, jobs, releases, versions
from lorafleet.contracts.job_states import JobState
from lorafleet.contracts.release import ReleaseState

_UNFINISHED = (JobState.WAITING, JobState.RUNNING)


class SqlUpkeep:
    """:class:`lorafleet.console.ports.Upkeep`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def needed(self) -> Sequence[Holding]:
        """What unfinished jobs cannot do without: their data set versions, and each checkpoint that one may go on from.

        Those are a job's newest one, and as long as it has none that of the job which it continues; of each release one, since
        what a release wrote is passed over once it is taken back.
        """
        unfinished = jobs.c.state.in_(_UNFINISHED)
        sets = select(versions).where(
            tuple_(versions.c.dataset, versions.c.version).in_(select(jobs.c.dataset, jobs.c.version).where(unfinished))
        )
        newest = func.max(checkpoints.c.step).label("step")
        own = (
            select(checkpoints.c.job, checkpoints.c.release_id, newest)
            .join(jobs, and_(jobs.c.id == checkpoints.c.job, unfinished))
            .group_by(checkpoints.c.job, checkpoints.c.release_id)
        )
        up_to_it = or_(jobs.c.continue_step.is_(None), checkpoints.c.step <= jobs.c.continue_step)
        continued = (
            select(checkpoints.c.job, checkpoints.c.release_id, newest)
            .join(jobs, and_(jobs.c.continue_from == checkpoints.c.job, unfinished, jobs.c.published_step.is_(None), up_to_it))
            .group_by(checkpoints.c.job, checkpoints.c.release_id, jobs.c.continue_step)
        )
        last = union(own, continued).subquery()
        same = and_(
            last.c.job == checkpoints.c.job,
            last.c.step == checkpoints.c.step,
            last.c.release_id.is_not_distinct_from(checkpoints.c.release_id),
        )
        taken_back = select(releases.c.id).where(releases.c.state == ReleaseState.ROLLED_BACK)
        good = or_(checkpoints.c.release_id.is_(None), checkpoints.c.release_id.not_in(taken_back))
        steps = select(checkpoints).join(last, same).where(good).order_by(checkpoints.c.job, checkpoints.c.step)
        with self._database.read() as transaction:
            return [
                *(
                    Holding(published(row["files"]), tuple(row["stores"]), dataset=row["dataset"], version=row["version"])
                    for row in transaction.all(sets)
                ),
                *(
                    Holding(published(row["objects"]), tuple(row["stores"]), job=row["job"], fence=row["fence"], step=row["step"])
                    for row in transaction.all(steps)
                ),
            ]

    def held_by(self, holding: Holding, stores: Sequence[str]) -> None:
        """Note where a holding lies now. The same again is harmless."""
        with self._database.write() as transaction:
            if holding.job is not None:
                whose = (
                    (checkpoints.c.job == holding.job)
                    & (checkpoints.c.fence == holding.fence)
                    & (checkpoints.c.step == holding.step)
                )
                transaction.execute(update(checkpoints).where(whose).values(stores=list(stores)))
                return
            whose = (versions.c.dataset == holding.dataset) & (versions.c.version == holding.version)
            transaction.execute(update(versions).where(whose).values(stores=list(stores)))
            waiting = (jobs.c.dataset == holding.dataset) & (jobs.c.version == holding.version)
            transaction.execute(update(jobs).where(waiting, jobs.c.state.in_(_UNFINISHED)).values(data_stores=list(stores)))

    def job_counts(self) -> Mapping[JobState, int]:
        """How many jobs there are by state; a state without jobs has 0."""
        statement = select(jobs.c.state, func.count().label("count")).group_by(jobs.c.state)
        with self._database.read() as transaction:
            found = {JobState(row["state"]): row["count"] for row in transaction.all(statement)}
        return {state: found.get(state, 0) for state in JobState}

    def forget(self, keep: timedelta) -> bool:
        """Remove a small batch of what ended longer ago than ``keep``; whether there may be more. The same again is harmless."""
        with self._database.write(durable=False) as transaction:
            return retention.forget(transaction, keep)

    def counts(self) -> Mapping[Series, float]:
        """Counters and histograms over all attempts there ever were."""
        with self._database.read() as transaction:
            return tallies.total(transaction)
