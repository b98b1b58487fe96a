"""When a promotion was settled."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """To this version."""
    op.add_column("releases", sa.Column("settled_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """To the version before."""
    with op.batch_alter_table("releases") as table:
        table.drop_column("settled_at")
