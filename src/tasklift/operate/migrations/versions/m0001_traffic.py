"""The first tables: releases, traces, feedback, reviews, losses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "traffic_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    _releases()
    _traces()
    _feedback()
    _reviews()
    _losses()


def _releases() -> None:
    op.create_table(
        "releases",
        sa.Column("task", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("overlay", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("routes", sa.Text, nullable=False),
    )


def _traces() -> None:
    op.create_table(
        "traces",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("release", sa.Integer, nullable=False),
        sa.Column("candidate", sa.Text, nullable=False),
        sa.Column("arm", sa.Text, nullable=False),
        sa.Column("overlay", sa.Text, nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("output", sa.Text),
        sa.Column("confidence", sa.Double),
        sa.Column("deferred", sa.Boolean, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("latency_s", sa.Double, nullable=False),
        sa.Column("cost_usd", sa.Double, nullable=False),
        sa.Column("pair", sa.Text),
        sa.Column("input", sa.Text),
        sa.Column("prediction", sa.Text, nullable=False),
    )
    op.create_index("traces_of_release", "traces", ["task", "release", "arm"])
    op.create_index("traces_in_time", "traces", ["task", "at"])
    op.create_index("traces_paired", "traces", ["pair"])


def _feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("trace", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("label", sa.Text),
        sa.Column("is_correction", sa.Boolean, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("comment", sa.Text),
    )
    op.create_index("feedback_of_trace", "feedback", ["trace"])
    op.create_index("feedback_of_task", "feedback", ["task", "at"])


def _reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("trace", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("input", sa.Text),
        sa.Column("suggestion", sa.Text),
        sa.Column("confidence", sa.Double),
        sa.Column("answer", sa.Text),
        sa.Column("by", sa.Text),
        sa.Column("answered_at", sa.Double),
    )
    op.create_index("reviews_of_trace", "reviews", ["trace"])
    op.create_index("reviews_open", "reviews", ["task", "answered_at", "at"])


def _losses() -> None:
    op.create_table(
        "losses",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("traces", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
