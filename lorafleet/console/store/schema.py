"""The tables. Times are whole microseconds since 1970 in UTC, the same on both databases."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    and_,
    text,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Only an INTEGER key counts by itself in SQLite.
Number = BigInteger().with_variant(Integer, "sqlite")


class Instant(TypeDecorator[datetime]):
    """An aware time. SQLite has no type for one, and a number compares and sorts the same everywhere."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """To microseconds."""
        return None if value is None else (value - EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """From microseconds."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

datasets = Table(
    "datasets",
    metadata,
    Column("number", Number, primary_key=True),
    Column("id", String(63), nullable=False, unique=True),
    Column("team", String(63), nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("version", String(63)),
    UniqueConstraint("team", "name"),
    Index("ix_datasets_team_number", "team", "number"),
    sqlite_autoincrement=True,
)

versions = Table(
    "dataset_versions",
    metadata,
    Column("number", Number, primary_key=True),
    Column("dataset", String(63), ForeignKey("datasets.id"), nullable=False),
    Column("version", String(63), nullable=False),
    Column("files", JSON, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("report", JSON, nullable=False),
    Column("stores", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False),
    UniqueConstraint("dataset", "version"),
    sqlite_autoincrement=True,
)

drafts = Table(
    "drafts",
    metadata,
    Column("id", String(63), primary_key=True),
    Column("dataset", String(63), ForeignKey("datasets.id"), nullable=False),
    # The version that it goes on from.
    Column("base", String(63)),
    Column("captions", JSON, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("touched_at", Instant, nullable=False),
    Column("dropped_at", Instant),
)

draft_files = Table(
    "draft_files",
    metadata,
    Column("draft", String(63), ForeignKey("drafts.id"), nullable=False),
    Column("file", Text, nullable=False),
    Column("entry", JSON, nullable=False),
    Column("stores", JSON, nullable=False),
    # Of small texts, which lie in no store.
    Column("content", LargeBinary),
    PrimaryKeyConstraint("draft", "file"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("number", Number, primary_key=True),
    Column("id", String(63), nullable=False, unique=True),
    Column("team", String(63), nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", String(10), nullable=False),
    Column("state", String(10), nullable=False),
    Column("dataset", String(63), nullable=False),
    Column("version", String(63), nullable=False),
    # Copied from the version, so that the queue is read from this table alone.
    Column("data_stores", JSON, nullable=False),
    Column("training", JSON, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("submitted_by", Text, nullable=False),
    Column("submitted_at", Instant, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("min_memory_mib", Integer, nullable=False),
    Column("continue_from", String(63)),
    Column("continue_step", BigInteger),
    Column("fence", BigInteger, nullable=False, default=0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("failures", Integer, nullable=False, default=0),
    Column("not_before", Instant, nullable=False),
    Column("avoid_release", String(63)),
    Column("step", BigInteger, nullable=False, default=0),
    Column("total_steps", BigInteger, nullable=False, default=0),
    Column("seconds_left", Float),
    Column("loss", Float),
    Column("published_step", BigInteger),
    Column("outputs", JSON, nullable=False, default=list),
    Column("output_stores", JSON, nullable=False, default=list),
    Column("site", String(63)),
    Column("ended_at", Instant),
    Column("problems", JSON, nullable=False, default=list),
    Column("unknown_since", Instant),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    # When its events and log were removed.
    Column("forgotten_at", Instant),
    Index("ix_jobs_team_number", "team", "number"),
    Index("ix_jobs_team_state_number", "team", "state", "number"),
    Index("ix_jobs_team_dataset_number", "team", "dataset", "number"),
    sqlite_autoincrement=True,
)

# As literals: neither database takes a partial index for a parameter's sake.
IS_WAITING = jobs.c.state == text("'waiting'")
IS_RUNNING = jobs.c.state == text("'running'")
Index("ix_jobs_queue", jobs.c.priority.desc(), jobs.c.number, sqlite_where=IS_WAITING, postgresql_where=IS_WAITING)
IS_REMEMBERED = and_(jobs.c.forgotten_at.is_(None), jobs.c.ended_at.is_not(None))
Index("ix_jobs_remembered", jobs.c.ended_at, sqlite_where=IS_REMEMBERED, postgresql_where=IS_REMEMBERED)
Index("ix_jobs_running", jobs.c.team, sqlite_where=IS_RUNNING, postgresql_where=IS_RUNNING)

attempts = Table(
    "attempts",
    metadata,
    Column("job", String(63), ForeignKey("jobs.id"), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("site", String(63), nullable=False),
    Column("worker", String(63), nullable=False),
    Column("digest", String(71), nullable=False),
    Column("release_id", String(63)),
    Column("track", String(10), nullable=False),
    Column("state", String(10), nullable=False),
    Column("leased_at", Instant, nullable=False),
    Column("deadline", Instant, nullable=False),
    Column("first_heartbeat_at", Instant),
    Column("last_heartbeat_at", Instant),
    Column("ended_at", Instant),
    Column("phase", String(10), nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("start_step", BigInteger, nullable=False),
    Column("outcome", String(20)),
    Column("exit_code", Integer),
    Column("problems", JSON, nullable=False, default=list),
    Column("ordered", String(10), nullable=False),
    Column("log_tail", Text, nullable=False, default=""),
    Column("heartbeats", BigInteger, nullable=False, default=0, server_default="0"),
    Column("fenced", BigInteger, nullable=False, default=0, server_default="0"),
    PrimaryKeyConstraint("job", "fence"),
    Index("ix_attempts_release_id_site_outcome", "release_id", "site", "outcome"),
)
IS_LIVE = attempts.c.ended_at.is_(None)
Index("ix_attempts_live", attempts.c.deadline, sqlite_where=IS_LIVE, postgresql_where=IS_LIVE)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("job", String(63), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("digest", String(71), nullable=False),
    Column("release_id", String(63)),
    Column("format_version", Integer, nullable=False),
    Column("objects", JSON, nullable=False),
    Column("stores", JSON, nullable=False),
    Column("published_at", Instant, nullable=False),
    PrimaryKeyConstraint("job", "fence", "step"),
    ForeignKeyConstraint(["job", "fence"], ["attempts.job", "attempts.fence"]),
)

# Written in batches, many each second: no foreign key.
events = Table(
    "events",
    metadata,
    Column("number", Number, primary_key=True),
    Column("team", String(63), nullable=False),
    Column("job", String(63), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("at", Instant, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("details", JSON, nullable=False),
    Index("ix_events_job_number", "job", "number"),
    Index("ix_events_team_number", "team", "number"),
    sqlite_autoincrement=True,
)

logs = Table(
    "logs",
    metadata,
    Column("job", String(63), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("lines", JSON, nullable=False),
    PrimaryKeyConstraint("job", "fence", "first"),
)

# What attempts counted that are removed by now, so that Prometheus never sees a counter fall.
past_counts = Table(
    "past_counts",
    metadata,
    Column("series", String(80), nullable=False),
    Column("labels", String(255), nullable=False),
    Column("value", Float, nullable=False),
    PrimaryKeyConstraint("series", "labels"),
)

keys = Table(
    "idempotency_keys",
    metadata,
    Column("team", String(63), nullable=False),
    Column("key", Text, nullable=False),
    Column("body_digest", String(64), nullable=False),
    Column("job", String(63), nullable=False),
    Column("at", Instant, nullable=False),
    PrimaryKeyConstraint("team", "key"),
)

quotas = Table(
    "quotas",
    metadata,
    Column("team", String(63), primary_key=True),
    Column("max_running", Integer, nullable=False),
)

sites = Table(
    "sites",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("cloud", String(20), nullable=False),
    Column("region", Text, nullable=False),
    Column("store", String(63), nullable=False),
    Column("paused", Boolean, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("site", String(63), nullable=False),
    Column("worker", String(63), nullable=False),
    Column("digest", String(71), nullable=False),
    Column("gpus", JSON, nullable=False),
    Column("heard_at", Instant, nullable=False),
    PrimaryKeyConstraint("site", "worker"),
    Index("ix_workers_heard_at", "heard_at"),
)

releases = Table(
    "releases",
    metadata,
    Column("number", Number, primary_key=True),
    Column("id", String(63), nullable=False, unique=True),
    Column("application", String(63), nullable=False),
    Column("digest", String(71), nullable=False),
    Column("state", String(12), nullable=False),
    Column("registration", JSON, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("breaches", JSON, nullable=False, default=list),
    Column("evaluated_at", Instant),
    # When the guard last had an answer to every named query, and what it lacks since.
    Column("answered_at", Instant),
    Column("unanswered", JSON, nullable=False, default=list),
    Column("promoted_at", Instant),
    Column("settled_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_releases_application_state", "application", "state"),
    sqlite_autoincrement=True,
)

release_sites = Table(
    "release_sites",
    metadata,
    Column("release_id", String(63), ForeignKey("releases.id"), nullable=False),
    Column("site", String(63), nullable=False),
    Column("step", Integer, nullable=False),
    Column("promoted", Boolean, nullable=False, default=False),
    # How its attempts have ended that are removed by now, by outcome.
    Column("past_outcomes", JSON, nullable=False, default=dict, server_default="{}"),
    PrimaryKeyConstraint("release_id", "site"),
)

stable = Table(
    "stable_releases",
    metadata,
    Column("application", String(63), nullable=False),
    Column("site", String(63), nullable=False),
    Column("digest", String(71), nullable=False),
    Column("release_id", String(63)),
    Column("target_size", Integer),
    PrimaryKeyConstraint("application", "site"),
)

watches = Table(
    "watches",
    metadata,
    Column("number", Number, primary_key=True),
    Column("id", String(63), nullable=False, unique=True),
    Column("release_id", String(63), ForeignKey("releases.id"), nullable=False),
    Column("site", String(63), nullable=False),
    Column("step", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("deadline", Float, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("status", String(10), nullable=False),
    Column("detail", Text, nullable=False),
    Index("ix_watches_release_id_site", "release_id", "site"),
    sqlite_autoincrement=True,
)

probes = Table(
    "probe_template",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("team", String(63), nullable=False),
    Column("submission", JSON, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(63), primary_key=True),
    Column("team", String(63), nullable=False),
    Column("name", Text, nullable=False),
    Column("role", String(12), nullable=False),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("release_id", String(63)),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("last_used_at", Instant),
    Column("revoked_at", Instant),
    Index("ix_tokens_team", "team"),
)

enrolments = Table(
    "enrolments",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("site", String(63), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Index("ix_enrolments_site", "site"),
)

attempt_tokens = Table(
    "attempt_tokens",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("id", String(63), nullable=False, unique=True),
    Column("site", String(63), nullable=False),
    Column("worker", String(63), nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("job", String(63)),
    Column("fence", BigInteger),
    Index("ix_attempt_tokens_expires_at", "expires_at"),
)

audit = Table(
    "audit",
    metadata,
    Column("team", String(63), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("details", JSON, nullable=False),
    Column("digest", String(64), nullable=False),
    PrimaryKeyConstraint("team", "number"),
)

# One row: the home that this database serves. A higher epoch fences every console that was started under a lower one.
home = Table(
    "home",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("site", String(63), nullable=False),
    Column("promoted_at", Instant, nullable=False),
    Column("promoted_by", Text, nullable=False),
)

team_secrets = Table(
    "team_secrets",
    metadata,
    Column("team", String(63), nullable=False),
    Column("name", String(63), nullable=False),
    Column("ciphertext", Text, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("updated_by", Text, nullable=False),
    PrimaryKeyConstraint("team", "name"),
)
