"""Jobs as people see them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from sqlalchemy import delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from lorafleet.console.domain.naming import new_id
from lorafleet.console.domain.records import (
    AttemptRecord,
    CheckpointRecord,
    EventKind,
    EventRecord,
    JobRecord,
    Page,
    Submission,
)
from lorafleet.console.domain.refusals import Conflict, NotFound, Unprocessable
from lorafleet.console.domain.requests import PLACES
from lorafleet.console.store import chain, pages, reasons, rows
from lorafleet.console.store.database import Database, Row, Transaction
from lorafleet.console.store.datasets import find_version
from lorafleet.console.store.schema import IS_LIVE, attempts, checkpoints, events, jobs, keys, logs, releases, versions
from lorafleet.contracts.job_states import JobState
from lorafleet.contracts.jobs import Order
from lorafleet.contracts.release import ReleaseState
from lorafleet.contracts.training import TrainingConfig

KEY_LIFETIME = timedelta(hours=24)


class SqlJobs:
    """:class:`lorafleet.console.ports.Jobs`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(self, team: str, submission: Submission, actor: str, key: str | None = None, body_digest: str = "") -> JobRecord:
        """Put a job into the queue; it is durable when this returns.

        Raises:
            NotFound: its data set version, or the job that it goes on from.
            Unprocessable: its configuration, or a key that was used with another body.
        """
        with self._database.write() as transaction:
            job = new_id(submission.name, "job")
            if key is not None and (first := _claim(transaction, team, key, body_digest, job)) is not None:
                return rows.job(first)
            row = enqueue(transaction, team, submission, actor, job)
            chain.append(transaction, team, actor, "job.submit", job, {"name": submission.name})
            return rows.job(row)

    def get(self, team: str, job: str) -> JobRecord:
        """One job. Raises NotFound."""
        with self._database.read() as transaction:
            row = find(transaction, team, job)
            return rows.job(row, reasons.of(transaction, row))

    def page(
        self, team: str, states: Sequence[JobState] = (), after: str | None = None, limit: int = 50, dataset: str | None = None
    ) -> Page[JobRecord]:
        """Newest first."""
        limit, before = pages.size(limit), pages.position(after)
        statement = select(jobs).where(jobs.c.team == team).order_by(jobs.c.number.desc()).limit(limit + 1)
        if before is not None:
            statement = statement.where(jobs.c.number < before)
        if dataset is not None:
            statement = statement.where(jobs.c.dataset == dataset)
        # A state at a time, because each then reads only what it shows, in the index's own order.
        parts = [statement.where(jobs.c.state == state) for state in dict.fromkeys(states)] or [statement]
        with self._database.read() as transaction:
            found = [row for part in parts for row in transaction.all(part)]
            found = sorted(found, key=lambda row: row["number"], reverse=True)[: limit + 1]
            why = reasons.of_many(transaction, found)
        return pages.page(found, limit, lambda row: rows.job(row, why.get(row["id"], "")))

    def attempts(self, team: str, job: str) -> Sequence[AttemptRecord]:
        """Oldest first."""
        with self._database.read() as transaction:
            find(transaction, team, job)
            return [
                rows.attempt(row)
                for row in transaction.all(select(attempts).where(attempts.c.job == job).order_by(attempts.c.fence))
            ]

    def checkpoints(self, team: str, job: str) -> Sequence[CheckpointRecord]:
        """Oldest first, those that a failed release wrote too."""
        statement = select(checkpoints).where(checkpoints.c.job == job).order_by(checkpoints.c.fence, checkpoints.c.step)
        with self._database.read() as transaction:
            find(transaction, team, job)
            return [rows.checkpoint(row) for row in transaction.all(statement)]

    def events(self, team: str, job: str | None, after: int = 0, limit: int = 500) -> Sequence[EventRecord]:
        """What came after the event with this number, oldest first."""
        statement = select(events).where(events.c.team == team, events.c.number > after).order_by(events.c.number).limit(limit)
        if job is not None:
            statement = statement.where(events.c.job == job)
        with self._database.read() as transaction:
            return [rows.event(row) for row in transaction.all(statement)]

    def log(self, team: str, job: str, fence: int | None = None, last: int = 1000) -> Sequence[str]:
        """The last lines of an attempt, the newest one's by default."""
        with self._database.read() as transaction:
            wanted = find(transaction, team, job)["fence"] if fence is None else fence
            find(transaction, team, job)
            statement = select(logs.c.lines).where(logs.c.job == job, logs.c.fence == wanted).order_by(logs.c.first)
            lines = [line for row in transaction.all(statement) for line in row["lines"]]
            if not lines:
                tail = transaction.one(select(attempts.c.log_tail).where(attempts.c.job == job, attempts.c.fence == wanted))
                lines = [] if tail is None else tail["log_tail"].splitlines()
        return lines[-last:]

    def cancel(self, team: str, job: str, actor: str) -> JobRecord:
        """A waiting job ends at once; a running one's worker is told to stop. Again is harmless. Raises Conflict after the end."""
        with self._database.write() as transaction:
            row = find(transaction, team, job, lock=True)
            state = JobState(row["state"])
            if state is JobState.CANCELLED or (state is JobState.RUNNING and row["cancel_requested"]):
                return rows.job(row)
            values: dict[str, Any]
            if state is JobState.WAITING:
                values = {"state": JobState.CANCELLED, "cancel_requested": True, "ended_at": transaction.now}
                transaction.event(row, EventKind.FINISHED, state=JobState.CANCELLED)
            elif state is JobState.RUNNING:
                values = {"cancel_requested": True}
                _give(transaction, row, Order.STOP)
            else:
                raise Conflict(f"job {job} has ended: {state}")
            chain.append(transaction, team, actor, "job.cancel", job)
            changed = transaction.row(update(jobs).where(jobs.c.id == job).values(values).returning(*jobs.c))
            return rows.job(changed)

    def order(self, team: str, job: str, order: Order, actor: str) -> JobRecord:
        """Tell a running job's worker something. Raises Conflict where none runs, or it is being stopped."""
        if order not in (Order.SAVE, Order.FINISH):
            raise Unprocessable(f"{order} is no order that a person gives", hint="give save or finish, or cancel the job")
        with self._database.write() as transaction:
            row = find(transaction, team, job, lock=True)
            if row["state"] != JobState.RUNNING:
                raise Conflict(f"job {job} does not run now; it is {row['state']}")
            if row["cancel_requested"]:
                raise Conflict(f"job {job} is being cancelled")
            _give(transaction, row, order)
            chain.append(transaction, team, actor, f"job.{order}", job)
            return rows.job(row)

    def position(self, team: str, job: str) -> int | None:
        """How many jobs would be leased before a waiting one; None for others."""
        with self._database.read() as transaction:
            row = find(transaction, team, job)
            return reasons.before(transaction, row) if row["state"] == JobState.WAITING else None


_INSERT = insert(jobs).returning(*jobs.c)


def enqueue(transaction: Transaction, team: str, submission: Submission, actor: str, job: str) -> Row:
    """Insert a waiting job. Raises as :meth:`SqlJobs.submit`."""
    version = find_version(transaction, team, submission.dataset, submission.version, [versions.c.stores])
    try:
        TrainingConfig.model_validate({**PLACES, **submission.training})
    except ValidationError as error:
        first = error.errors()[0]
        raise Unprocessable(first["msg"], where=".".join(str(part) for part in first["loc"])) from None
    step = submission.continue_step
    if submission.continue_from is not None:
        step = _step_to_continue(transaction, team, submission.continue_from, step)
    values: dict[str, Any] = {
        "id": job, "team": team, "name": submission.name, "kind": submission.kind, "state": JobState.WAITING,
        "dataset": submission.dataset, "version": submission.version, "data_stores": version["stores"],
        "training": dict(submission.training), "priority": submission.priority, "submitted_by": actor,
        "submitted_at": transaction.now, "not_before": transaction.now, "gpus": submission.gpus,
        "min_memory_mib": submission.min_memory_mib, "continue_from": submission.continue_from,
        "continue_step": step,
    }  # fmt: skip
    row = transaction.row(_INSERT, values)
    transaction.event(row, EventKind.SUBMITTED)
    return row


def find(transaction: Transaction, team: str, job: str, lock: bool = False) -> Row:
    """A team's job, its row locked where asked for. Raises NotFound."""
    statement = select(jobs).where(jobs.c.id == job, jobs.c.team == team)
    row = transaction.one(statement.with_for_update() if lock else statement)
    if row is None:
        raise NotFound(f"there is no job {job}")
    return row


def _claim(transaction: Transaction, team: str, key: str, body_digest: str, job: str) -> Row | None:
    old = transaction.now - KEY_LIFETIME
    transaction.execute(delete(keys).where(keys.c.team == team, keys.c.key == key, keys.c.at <= old))
    values = {"team": team, "key": key, "body_digest": body_digest, "job": job, "at": transaction.now}
    # Of two consoles with the same key the second waits here for the first one's commit.
    dialect = postgresql if transaction.postgres else sqlite
    if transaction.one(dialect.insert(keys).values(values).on_conflict_do_nothing().returning(keys.c.key)) is not None:
        return None
    first = transaction.one(select(keys).where(keys.c.team == team, keys.c.key == key))
    if first is None or first["body_digest"] != body_digest:
        raise Unprocessable(
            "this idempotency key was used with another body", hint="take a new key for another job, or send the same body again"
        )
    return find(transaction, team, first["job"])


def _step_to_continue(transaction: Transaction, team: str, job: str, step: int | None) -> int:
    """The step, or without one the newest that a job can go on from. Raises as :meth:`SqlJobs.submit`."""
    find(transaction, team, job)
    statement = (
        select(checkpoints.c.step, releases.c.state)
        .join_from(checkpoints, releases, releases.c.id == checkpoints.c.release_id, isouter=True)
        .where(checkpoints.c.job == job)
    )
    found = transaction.all(statement if step is None else statement.where(checkpoints.c.step == step))
    what = "checkpoint" if step is None else f"checkpoint of step {step}"
    if not found:
        raise Unprocessable(f"job {job} has no published {what} to go on from")
    good = [row["step"] for row in found if row["state"] != ReleaseState.ROLLED_BACK]
    if not good:
        raise Unprocessable(
            f"job {job} has no {what} to go on from but what a release wrote that was taken back",
            hint="name an earlier step, or submit it anew",
        )
    return int(max(good))


# What was told last counts, but nothing takes back a stop or a hand-back.
_FIRM = (Order.STOP, Order.HAND_BACK)


def _give(transaction: Transaction, row: Row, order: Order) -> None:
    live = (attempts.c.job == row["id"]) & (attempts.c.fence == row["fence"]) & IS_LIVE
    if order is not Order.STOP:
        live &= attempts.c.ordered.not_in(_FIRM)
    transaction.execute(update(attempts).where(live).values(ordered=order))
    transaction.event(row, EventKind.ORDER, row["fence"], order=order)
