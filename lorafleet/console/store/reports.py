"""What workers report about their attempts. Every message passes the fence before anything of it is written."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from lorafleet.console.domain import endings as rules
from lorafleet.console.domain.records import AttemptRecord, CheckpointRecord, EventKind, JobRecord
from lorafleet.console.domain.refusals import Conflict, Fenced, Unprocessable
from lorafleet.console.store import endings, rollback, rows
from lorafleet.console.store.database import Database, Row, Transaction
from lorafleet.console.store.fence import holds, refused, touch
from lorafleet.console.store.schema import attempts, checkpoints, jobs, logs
from lorafleet.contracts.job_states import AttemptState
from lorafleet.contracts.jobs import (
    CheckpointPublished,
    Heartbeat,
    HeartbeatReply,
    JobKind,
    LogLines,
    Order,
    Outcome,
    Progress,
    SamplePublished,
)
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.release import Track

LOG_LINES = 5_000
"""So many of the last lines of an attempt's log are kept, and up to a message's lines more."""


class SqlReports:
    """The part of :class:`lorafleet.console.ports.Dispatcher` that attempts speak to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def heartbeat(self, message: Heartbeat, lifetime: timedelta) -> HeartbeatReply:
        """Move the deadline on. The first one after the lease says that CUDA is there and the training process lives."""
        with self._database.write(durable=False) as transaction:
            row = touch(transaction, message.job, message.fence, {"unknown_since": None})
            attempt = _attempt(transaction, message.job, message.fence)
            order, deadline = Order(attempt["ordered"]), transaction.now + lifetime
            values: dict[str, Any] = {
                "deadline": deadline,
                "last_heartbeat_at": transaction.now,
                "phase": message.phase,
                "step": max(attempt["step"], message.step),
                "heartbeats": attempt["heartbeats"] + 1,
            }
            if attempt["first_heartbeat_at"] is None:
                values |= {"first_heartbeat_at": transaction.now, "state": AttemptState.TRAINING}
                transaction.event(row, EventKind.STARTED, message.fence, site=attempt["site"], release=attempt["digest"])
            if order is Order.SAVE:
                # Told once: a worker that hears it at each heartbeat would save at each.
                values["ordered"] = Order.CONTINUE
            transaction.change(attempts, {"job": message.job, "fence": message.fence}, values)
            return HeartbeatReply(job=message.job, fence=message.fence, order=order, deadline=deadline)

    def note_fenced(self, job: str, fence: int) -> None:
        """Count a message of this lease that was refused."""
        whose = (attempts.c.job == job) & (attempts.c.fence == fence)
        with self._database.write(durable=False) as transaction:
            transaction.execute(update(attempts).where(whose).values(fenced=attempts.c.fenced + 1))

    def progress(self, messages: Sequence[Progress]) -> None:
        """Write a batch, all of it or, where one is stale, nothing."""
        newest: dict[tuple[str, int], Progress] = {}
        for message in messages:
            newest[message.job, message.fence] = message
        with self._database.write(durable=False) as transaction:
            # In one order, so that two batches never wait for each other.
            touched = {key: touch(transaction, *key, _standing(message)) for key, message in sorted(newest.items())}
            for message in messages:
                row = touched[message.job, message.fence]
                transaction.event(
                    row, EventKind.PROGRESS, message.fence, at=message.sent_at, step=message.step, total_steps=message.total_steps,
                    seconds_left=message.seconds_left, metrics=message.metrics,
                )  # fmt: skip

    def sample(self, message: SamplePublished) -> None:
        """Note a sample that is in the store."""
        with self._database.write(durable=False) as transaction:
            row = touch(transaction, message.job, message.fence)
            transaction.event(
                row, EventKind.SAMPLE, message.fence, step=message.step, prompt=message.prompt,
                object=message.object.model_dump(mode="json"),
            )  # fmt: skip

    def log(self, message: LogLines) -> None:
        """Keep what an attempt wrote, :data:`LOG_LINES` of it. The same lines again are harmless."""
        with self._database.write(durable=False) as transaction:
            row = touch(transaction, message.job, message.fence)
            dialect = postgresql if transaction.postgres else sqlite
            values = {"job": message.job, "fence": message.fence, "first": message.first, "lines": list(message.lines)}
            if transaction.one(dialect.insert(logs).values(values).on_conflict_do_nothing().returning(logs.c.first)) is None:
                return
            old = message.first + len(message.lines) - LOG_LINES
            if old > 0:
                whose = (logs.c.job == message.job) & (logs.c.fence == message.fence)
                transaction.execute(delete(logs).where(whose, logs.c.first < old))
            transaction.event(row, EventKind.LOG, message.fence, first=message.first, count=len(message.lines))

    def checkpoint(self, message: CheckpointPublished) -> CheckpointRecord:
        """Publish a checkpoint whose objects the caller has verified.

        Raises:
            Fenced: the lease does not hold; a checkpoint that was published before is given back all the same.
            Unprocessable: another release than the lease's is said to have written it.
            Conflict: this step was published with other objects.
        """
        try:
            with self._database.write() as transaction:
                row = touch(transaction, message.job, message.fence)
                return self._publish(transaction, row, message)
        except Fenced:
            with self._database.read() as transaction:
                there = _checkpoint(transaction, message)
            if there is None:
                raise
            return _same(there, message)

    def _publish(self, transaction: Transaction, row: Row, message: CheckpointPublished) -> CheckpointRecord:
        if (there := _checkpoint(transaction, message)) is not None:
            return _same(there, message)
        attempt = _attempt(transaction, message.job, message.fence)
        if attempt["digest"] != message.release:
            raise Unprocessable(f"the lease is of release {attempt['digest']}, not of {message.release}")
        values = {
            "job": message.job, "fence": message.fence, "step": message.step, "digest": message.release,
            "release_id": attempt["release_id"], "format_version": message.format_version,
            "objects": rows.dumped(message.objects), "stores": list(message.stores), "published_at": transaction.now,
        }  # fmt: skip
        transaction.add(checkpoints, values)
        if row["published_step"] is None or message.step > row["published_step"]:
            # A job that gets on has used up none of its attempts.
            transaction.change(jobs, {"id": message.job}, {"published_step": message.step, "failures": 0})
        transaction.event(row, EventKind.CHECKPOINT, message.fence, step=message.step, stores=list(message.stores))
        return rows.checkpoint(values)

    def outcome(self, message: Outcome, stores: Sequence[str]) -> JobRecord:
        """End the attempt. The same outcome again, from the same lease, gives the job as it is now. Raises Fenced."""
        with self._database.read() as transaction:
            attempt = _attempt(transaction, message.job, message.fence)
        try:
            with self._database.write() as transaction:
                judged = attempt["track"] == Track.CANDIDATE and message.outcome is OutcomeClass.RELEASE
                if judged:
                    # Before the job's row, as whoever takes a release back locks them.
                    rollback.lock(transaction, attempt["release_id"])
                row = touch(transaction, message.job, message.fence)
                self._end(transaction, row, attempt, message, stores)
                if judged and attempt["first_heartbeat_at"] is None:
                    rollback.cannot_start(transaction, attempt)
                return rows.job(_job(transaction, message.job))
        except Fenced:
            with self._database.read() as transaction:
                attempt = _attempt(transaction, message.job, message.fence)
                if attempt["outcome"] != message.outcome or attempt["state"] != rules.attempt_state(message.outcome):
                    raise
                return rows.job(_job(transaction, message.job))

    def _end(self, transaction: Transaction, row: Row, attempt: Row, message: Outcome, stores: Sequence[str]) -> None:
        problems = rows.dumped(message.problems)
        values: dict[str, Any] = {
            "outcome": message.outcome, "exit_code": message.exit_code, "problems": problems, "step": message.step,
            "log_tail": message.log_tail,
        }  # fmt: skip
        if message.outcome is OutcomeClass.SUCCEEDED and attempt["first_heartbeat_at"] is None:
            # Its heartbeats were lost on the way; it has trained to the end.
            values["first_heartbeat_at"] = values["last_heartbeat_at"] = transaction.now
        endings.end_attempt(transaction, row, rules.attempt_state(message.outcome), EventKind.ENDED, **values)
        after = rules.after(message.outcome, row["failures"], JobKind(row["kind"]), row["cancel_requested"])
        more: dict[str, Any] = {"step": message.step}
        if message.outcome is OutcomeClass.RELEASE and attempt["track"] == Track.CANDIDATE:
            more["avoid_release"] = attempt["release_id"]
        if message.outcome is OutcomeClass.SUCCEEDED:
            more |= {"outputs": rows.dumped(message.outputs), "output_stores": list(stores)}
        endings.settle(transaction, row, after, problems, **more)

    def holds(self, job: str, fence: int) -> AttemptRecord:
        """The attempt with this fence, which may write. Raises Fenced."""
        with self._database.read() as transaction:
            if not holds(transaction, job, fence):
                raise refused(job, fence)
            return rows.attempt(_attempt(transaction, job, fence))


_ATTEMPT = select(attempts).where(attempts.c.job == bindparam("job"), attempts.c.fence == bindparam("number"))


def _standing(message: Progress) -> dict[str, Any]:
    values: dict[str, Any] = {"step": message.step, "total_steps": message.total_steps, "seconds_left": message.seconds_left}
    return values | {"loss": message.metrics["loss"]} if "loss" in message.metrics else values


def _attempt(transaction: Transaction, job: str, number: int) -> Row:
    row = transaction.one(_ATTEMPT, {"job": job, "number": number})
    if row is None:
        raise refused(job, number)
    return row


def _job(transaction: Transaction, job: str) -> Row:
    return transaction.row(select(jobs).where(jobs.c.id == job))


def _checkpoint(transaction: Transaction, message: CheckpointPublished) -> Row | None:
    whose = (checkpoints.c.job == message.job) & (checkpoints.c.fence == message.fence) & (checkpoints.c.step == message.step)
    return transaction.one(select(checkpoints).where(whose))


def _same(there: Row, message: CheckpointPublished) -> CheckpointRecord:
    if there["objects"] != rows.dumped(message.objects):
        raise Conflict(
            f"step {message.step} of lease {message.fence} was published with other objects", hint="a checkpoint never changes"
        )
    return rows.checkpoint(there)
