"""Whom traces, reviews and feedback are about; objections to training; rows that are being erased."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "traffic_0002"
down_revision = "traffic_0001"
branch_labels = None
depends_on = None

_ABOUT = ("traces", "reviews", "feedback")


def upgrade() -> None:
    """Add columns and tables. Who called is the best that is known of the person behind earlier rows."""
    for table in _ABOUT:
        op.add_column(table, sa.Column("subject", sa.Text, nullable=False, server_default=""))
        op.create_index(f"{table}_of_subject", table, ["subject"])
    op.execute("UPDATE traces SET subject = caller")
    for table in ("reviews", "feedback"):
        op.execute(
            f"UPDATE {table} SET subject = COALESCE("  # noqa: S608 - our own names
            f"(SELECT traces.subject FROM traces WHERE traces.id = {table}.trace), '')"
        )
    op.create_table(
        "objections",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
    )
    op.create_table(
        "erasing",
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("task", sa.Text, primary_key=True),
        sa.Column("row", sa.Text, primary_key=True),
    )
