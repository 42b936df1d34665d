"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _owner() -> sa.Column[int]:
    return sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False)


def _case() -> sa.Column[str]:
    return sa.Column(
        "case_id", sa.String(32), sa.ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True
    )


def upgrade() -> None:
    """Make the tables of people and of cases."""
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(80), nullable=False, unique=True),
        sa.Column("code_hash", sa.String(200)),
        sa.Column("created_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("hash", sa.String(64), primary_key=True),
        _owner(),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "tokens",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        _owner(),
        sa.Column("label", sa.String(80), nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "cases",
        sa.Column("id", sa.String(32), primary_key=True),
        _owner(),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("xray", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(80)),
        sa.Column("domain", sa.String(20)),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("diagnosis", sa.Text, nullable=False),
        sa.Column("verdict", sa.String(10)),
        sa.Column("note", sa.Text, nullable=False, server_default=""),
        sa.Column("verdict_us", sa.BigInteger),
    )
    op.create_index("cases_by_user_and_time", "cases", ["user_id", "created_us", "id"])
    op.create_table(
        "findings",
        _case(),
        sa.Column("name", sa.String(120), primary_key=True),
        sa.Column("word", sa.String(20), nullable=False),
        sa.Column("score", sa.Float, nullable=False),
    )
    op.create_index("findings_by_name_and_word", "findings", ["name", "word"])
    op.create_table(
        "files",
        _case(),
        sa.Column("role", sa.String(20), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("suffix", sa.String(8), nullable=False),
    )


def downgrade() -> None:
    """Drop every table."""
    for name in ("files", "findings", "cases", "tokens", "sessions", "users"):
        op.drop_table(name)
