"""Which home the database belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """To this version."""
    op.create_table(
        "home",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("promoted_at", sa.BigInteger(), nullable=False),
        sa.Column("promoted_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_home")),
    )


def downgrade() -> None:
    """To the version before."""
    op.drop_table("home")
