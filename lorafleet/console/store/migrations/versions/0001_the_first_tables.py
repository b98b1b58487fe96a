"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# As they were when this was written; what schema.py means by its types may change.
INSTANT = sa.BigInteger()
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """To this version."""
    op.create_table(
        "attempt_tokens",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("worker", sa.String(length=63), nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("job", sa.String(length=63), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_attempt_tokens")),
        sa.UniqueConstraint("id", name=op.f("uq_attempt_tokens_id")),
    )
    op.create_index("ix_attempt_tokens_expires_at", "attempt_tokens", ["expires_at"], unique=False)
    op.create_table(
        "audit",
        sa.Column("team", sa.String(length=63), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("team", "number", name=op.f("pk_audit")),
    )
    op.create_table(
        "datasets",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("team", sa.String(length=63), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("version", sa.String(length=63), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_datasets")),
        sa.UniqueConstraint("id", name=op.f("uq_datasets_id")),
        sa.UniqueConstraint("team", "name", name=op.f("uq_datasets_team_name")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_datasets_team_number", "datasets", ["team", "number"], unique=False)
    op.create_table(
        "enrolments",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_enrolments")),
    )
    op.create_index("ix_enrolments_site", "enrolments", ["site"], unique=False)
    op.create_table(
        "events",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("team", sa.String(length=63), nullable=False),
        sa.Column("job", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_job_number", "events", ["job", "number"], unique=False)
    op.create_index("ix_events_team_number", "events", ["team", "number"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("team", sa.String(length=63), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_digest", sa.String(length=64), nullable=False),
        sa.Column("job", sa.String(length=63), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("team", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "jobs",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("team", sa.String(length=63), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("version", sa.String(length=63), nullable=False),
        sa.Column("data_stores", sa.JSON(), nullable=False),
        sa.Column("training", sa.JSON(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("submitted_by", sa.Text(), nullable=False),
        sa.Column("submitted_at", INSTANT, nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("min_memory_mib", sa.Integer(), nullable=False),
        sa.Column("continue_from", sa.String(length=63), nullable=True),
        sa.Column("continue_step", sa.BigInteger(), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("not_before", INSTANT, nullable=False),
        sa.Column("avoid_release", sa.String(length=63), nullable=True),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("total_steps", sa.BigInteger(), nullable=False),
        sa.Column("seconds_left", sa.Float(), nullable=True),
        sa.Column("loss", sa.Float(), nullable=True),
        sa.Column("published_step", sa.BigInteger(), nullable=True),
        sa.Column("outputs", sa.JSON(), nullable=False),
        sa.Column("output_stores", sa.JSON(), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=True),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.Column("problems", sa.JSON(), nullable=False),
        sa.Column("unknown_since", INSTANT, nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_jobs")),
        sa.UniqueConstraint("id", name=op.f("uq_jobs_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_jobs_queue",
        "jobs",
        [sa.literal_column("priority DESC"), "number"],
        unique=False,
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "ix_jobs_running",
        "jobs",
        ["team"],
        unique=False,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index("ix_jobs_team_dataset_number", "jobs", ["team", "dataset", "number"], unique=False)
    op.create_index("ix_jobs_team_number", "jobs", ["team", "number"], unique=False)
    op.create_index("ix_jobs_team_state_number", "jobs", ["team", "state", "number"], unique=False)
    op.create_table(
        "logs",
        sa.Column("job", sa.String(length=63), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("job", "fence", "first", name=op.f("pk_logs")),
    )
    op.create_table(
        "probe_template",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("team", sa.String(length=63), nullable=False),
        sa.Column("submission", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_probe_template")),
    )
    op.create_table(
        "quotas",
        sa.Column("team", sa.String(length=63), nullable=False),
        sa.Column("max_running", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("team", name=op.f("pk_quotas")),
    )
    op.create_table(
        "releases",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("application", sa.String(length=63), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("registration", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("breaches", sa.JSON(), nullable=False),
        sa.Column("evaluated_at", INSTANT, nullable=True),
        sa.Column("answered_at", INSTANT, nullable=True),
        sa.Column("unanswered", sa.JSON(), nullable=False),
        sa.Column("promoted_at", INSTANT, nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_releases")),
        sa.UniqueConstraint("id", name=op.f("uq_releases_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_releases_application_state", "releases", ["application", "state"], unique=False)
    op.create_table(
        "sites",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("cloud", sa.String(length=20), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("store", sa.String(length=63), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sites")),
    )
    op.create_table(
        "stable_releases",
        sa.Column("application", sa.String(length=63), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("release_id", sa.String(length=63), nullable=True),
        sa.Column("target_size", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("application", "site", name=op.f("pk_stable_releases")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("team", sa.String(length=63), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=12), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("release_id", sa.String(length=63), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=True),
        sa.Column("last_used_at", INSTANT, nullable=True),
        sa.Column("revoked_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("sha256", name=op.f("uq_tokens_sha256")),
    )
    op.create_index("ix_tokens_team", "tokens", ["team"], unique=False)
    op.create_table(
        "workers",
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("worker", sa.String(length=63), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("gpus", sa.JSON(), nullable=False),
        sa.Column("heard_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("site", "worker", name=op.f("pk_workers")),
    )
    op.create_index("ix_workers_heard_at", "workers", ["heard_at"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("job", sa.String(length=63), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("worker", sa.String(length=63), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("release_id", sa.String(length=63), nullable=True),
        sa.Column("track", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("leased_at", INSTANT, nullable=False),
        sa.Column("deadline", INSTANT, nullable=False),
        sa.Column("first_heartbeat_at", INSTANT, nullable=True),
        sa.Column("last_heartbeat_at", INSTANT, nullable=True),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.Column("phase", sa.String(length=10), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("start_step", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("problems", sa.JSON(), nullable=False),
        sa.Column("ordered", sa.String(length=10), nullable=False),
        sa.Column("log_tail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_attempts_job")),
        sa.PrimaryKeyConstraint("job", "fence", name=op.f("pk_attempts")),
    )
    op.create_index(
        "ix_attempts_live",
        "attempts",
        ["deadline"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_attempts_release_id_site_outcome", "attempts", ["release_id", "site", "outcome"], unique=False)
    op.create_table(
        "dataset_versions",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("version", sa.String(length=63), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("stores", sa.JSON(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["dataset"], ["datasets.id"], name=op.f("fk_dataset_versions_dataset")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_dataset_versions")),
        sa.UniqueConstraint("dataset", "version", name=op.f("uq_dataset_versions_dataset_version")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "release_sites",
        sa.Column("release_id", sa.String(length=63), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("promoted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["release_id"], ["releases.id"], name=op.f("fk_release_sites_release_id")),
        sa.PrimaryKeyConstraint("release_id", "site", name=op.f("pk_release_sites")),
    )
    op.create_table(
        "watches",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("release_id", sa.String(length=63), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("deadline", sa.Float(), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["release_id"], ["releases.id"], name=op.f("fk_watches_release_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_watches")),
        sa.UniqueConstraint("id", name=op.f("uq_watches_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_watches_release_id_site", "watches", ["release_id", "site"], unique=False)
    op.create_table(
        "checkpoints",
        sa.Column("job", sa.String(length=63), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("release_id", sa.String(length=63), nullable=True),
        sa.Column("format_version", sa.Integer(), nullable=False),
        sa.Column("objects", sa.JSON(), nullable=False),
        sa.Column("stores", sa.JSON(), nullable=False),
        sa.Column("published_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["job", "fence"], ["attempts.job", "attempts.fence"], name=op.f("fk_checkpoints_job_fence")),
        sa.PrimaryKeyConstraint("job", "fence", "step", name=op.f("pk_checkpoints")),
    )


def downgrade() -> None:
    """Back to the one before."""
    op.drop_table("checkpoints")
    op.drop_table("watches")
    op.drop_table("release_sites")
    op.drop_table("dataset_versions")
    op.drop_table("attempts")
    op.drop_table("workers")
    op.drop_table("tokens")
    op.drop_table("stable_releases")
    op.drop_table("sites")
    op.drop_table("releases")
    op.drop_table("quotas")
    op.drop_table("probe_template")
    op.drop_table("logs")
    op.drop_table("jobs")
    op.drop_table("idempotency_keys")
    op.drop_table("events")
    op.drop_table("enrolments")
    op.drop_table("datasets")
    op.drop_table("audit")
    op.drop_table("attempt_tokens")
