"""Uploads that go on over several requests, at any console."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """To this version."""
    op.create_table(
        "drafts",
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("dataset", sa.String(length=63), nullable=False),
        sa.Column("base", sa.String(length=63), nullable=True),
        sa.Column("captions", sa.JSON(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("touched_at", sa.BigInteger(), nullable=False),
        sa.Column("dropped_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["dataset"], ["datasets.id"], name=op.f("fk_drafts_dataset")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drafts")),
    )
    op.create_table(
        "draft_files",
        sa.Column("draft", sa.String(length=63), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("entry", sa.JSON(), nullable=False),
        sa.Column("stores", sa.JSON(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["draft"], ["drafts.id"], name=op.f("fk_draft_files_draft")),
        sa.PrimaryKeyConstraint("draft", "file", name=op.f("pk_draft_files")),
    )


def downgrade() -> None:
    """To the version before."""
    op.drop_table("draft_files")
    op.drop_table("drafts")
