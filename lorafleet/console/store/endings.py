"""Ending attempts, and what that makes of their jobs."""

from collections.abc import Sequence
from typing import Any

from lorafleet.console.domain.endings import After
from lorafleet.console.domain.records import EventKind
from lorafleet.console.store.database import Row, Transaction
from lorafleet.console.store.schema import attempts, jobs
from lorafleet.contracts.job_states import AttemptState, JobState


def end_attempt(transaction: Transaction, row: Row, state: AttemptState, kind: EventKind, **values: Any) -> None:
    """End the live attempt of a job, whose row is locked."""
    key = {"job": row["id"], "fence": row["fence"]}
    transaction.change(attempts, key, {"state": state, "ended_at": transaction.now, **values})
    transaction.event(row, kind, row["fence"], state=state, **_told(values))


def settle(transaction: Transaction, row: Row, after: After, problems: Sequence[dict[str, Any]] = (), **values: Any) -> None:
    """Write what becomes of the job after its attempt has ended; the row is locked."""
    values = {
        "state": after.state,
        "failures": after.failures,
        "unknown_since": None,
        "seconds_left": None,
        "not_before": transaction.now + after.pause,
        **values,
    }
    if after.state is not JobState.WAITING:
        values |= {"ended_at": transaction.now, "problems": list(problems)}
        transaction.event(row, EventKind.FINISHED, row["fence"], state=after.state)
    transaction.change(jobs, {"id": row["id"]}, values)


def _told(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in ("outcome", "exit_code", "problems", "step") if name in values}
