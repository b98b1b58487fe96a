"""Rows of the tables as records."""

from collections.abc import Sequence
from typing import Any

from lorafleet.console.domain.records import (
    AttemptRecord,
    AuditRecord,
    CheckpointRecord,
    DatasetRecord,
    EventKind,
    EventRecord,
    JobRecord,
    Role,
    SecretRecord,
    TokenRecord,
    VersionRecord,
)
from lorafleet.console.store.database import Row
from lorafleet.contracts.job_states import AttemptState, JobState
from lorafleet.contracts.jobs import JobKind, Order, Phase, PublishedObject, ReportedProblem
from lorafleet.contracts.outcomes import OutcomeClass
from lorafleet.contracts.release import Track


def dumped(models: Sequence[PublishedObject | ReportedProblem]) -> list[dict[str, Any]]:
    """Models as the JSON of a column."""
    return [model.model_dump(mode="json") for model in models]


def published(values: Sequence[dict[str, Any]]) -> tuple[PublishedObject, ...]:
    """Objects from a JSON column."""
    return tuple(PublishedObject(**each) for each in values)


def reported(values: Sequence[dict[str, Any]]) -> tuple[ReportedProblem, ...]:
    """Problems from a JSON column."""
    return tuple(ReportedProblem(**each) for each in values)


def dataset(row: Row) -> DatasetRecord:
    """A row of ``datasets``."""
    return DatasetRecord(row["id"], row["team"], row["name"], row["kind"], row["created_at"], row["version"])


def version(row: Row) -> VersionRecord:
    """A row of ``dataset_versions``."""
    return VersionRecord(
        dataset=row["dataset"],
        version=row["version"],
        files=published(row["files"]),
        rows=row["rows"],
        report=row["report"],
        created_at=row["created_at"],
        created_by=row["created_by"],
        stores=tuple(row["stores"]),
    )


_SAME_IN_JOB = (
    "id", "team", "name", "dataset", "version", "training", "priority", "submitted_by", "submitted_at", "gpus", "min_memory_mib", "fence",
    "step", "total_steps", "seconds_left", "loss", "published_step", "site", "ended_at", "unknown_since", "attempts", "cancel_requested",
    "continue_from", "continue_step", "forgotten_at",
)  # fmt: skip


def job(row: Row, waiting_for: str = "") -> JobRecord:
    """A row of ``jobs``."""
    return JobRecord(
        kind=JobKind(row["kind"]),
        state=JobState(row["state"]),
        outputs=published(row["outputs"]),
        output_stores=tuple(row["output_stores"]),
        problems=reported(row["problems"]),
        waiting_for=waiting_for,
        **{name: row[name] for name in _SAME_IN_JOB},
    )


_SAME_IN_ATTEMPT = (
    "job", "fence", "site", "worker", "digest", "leased_at", "deadline", "first_heartbeat_at", "last_heartbeat_at", "ended_at", "step",
    "start_step", "exit_code",
)  # fmt: skip


def attempt(row: Row) -> AttemptRecord:
    """A row of ``attempts``."""
    return AttemptRecord(
        track=Track(row["track"]),
        state=AttemptState(row["state"]),
        phase=Phase(row["phase"]),
        outcome=OutcomeClass(row["outcome"]) if row["outcome"] else None,
        problems=reported(row["problems"]),
        order=Order(row["ordered"]),
        **{name: row[name] for name in _SAME_IN_ATTEMPT},
    )


def checkpoint(row: Row) -> CheckpointRecord:
    """A row of ``checkpoints``."""
    return CheckpointRecord(
        job=row["job"],
        fence=row["fence"],
        step=row["step"],
        release=row["digest"],
        format_version=row["format_version"],
        objects=published(row["objects"]),
        stores=tuple(row["stores"]),
        published_at=row["published_at"],
    )


def event(row: Row) -> EventRecord:
    """A row of ``events``."""
    return EventRecord(row["number"], row["job"], EventKind(row["kind"]), row["at"], row["fence"], row["details"])


def token(row: Row) -> TokenRecord:
    """A row of ``tokens``."""
    return TokenRecord(
        role=Role(row["role"]),
        **{name: row[name] for name in ("id", "team", "name", "created_at", "expires_at", "last_used_at", "revoked_at")},
    )


def secret(row: Row) -> SecretRecord:
    """A row of ``team_secrets``."""
    return SecretRecord(row["team"], row["name"], row["ciphertext"], row["updated_at"], row["updated_by"])


def audit(row: Row) -> AuditRecord:
    """A row of ``audit``."""
    return AuditRecord(
        row["number"], row["team"], row["at"], row["actor"], row["action"], row["target"], row["details"], row["digest"]
    )
