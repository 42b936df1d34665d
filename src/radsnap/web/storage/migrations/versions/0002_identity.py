"""The database's own id, which its pictures carry too."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of one row, and the row."""
    made = op.create_table("identity", sa.Column("id", sa.String(32), primary_key=True))
    op.bulk_insert(made, [{"id": uuid.uuid4().hex}])


def downgrade() -> None:
    """Forget the id."""
    op.drop_table("identity")
