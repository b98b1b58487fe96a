"""What attempts count for Prometheus."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_COUNTS = ("heartbeats", "fenced")


def upgrade() -> None:
    """To this version."""
    for name in _COUNTS:
        op.add_column("attempts", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table(
        "past_counts",
        sa.Column("series", sa.String(length=80), nullable=False),
        sa.Column("labels", sa.String(length=255), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("series", "labels", name=op.f("pk_past_counts")),
    )


def downgrade() -> None:
    """To the version before."""
    op.drop_table("past_counts")
    with op.batch_alter_table("attempts") as table:
        for name in _COUNTS:
            table.drop_column(name)
