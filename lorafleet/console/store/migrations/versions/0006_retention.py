"""Removing old events, and probe jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_REMEMBERED = sa.text("forgotten_at IS NULL AND ended_at IS NOT NULL")


def upgrade() -> None:
    """To this version."""
    op.add_column("jobs", sa.Column("forgotten_at", sa.BigInteger(), nullable=True))
    op.create_index("ix_jobs_remembered", "jobs", ["ended_at"], sqlite_where=_REMEMBERED, postgresql_where=_REMEMBERED)
    op.add_column("release_sites", sa.Column("past_outcomes", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    """To the version before."""
    op.drop_index("ix_jobs_remembered", "jobs")
    with op.batch_alter_table("release_sites") as table:
        table.drop_column("past_outcomes")
    with op.batch_alter_table("jobs") as table:
        table.drop_column("forgotten_at")
