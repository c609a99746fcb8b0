"""The first tables."""

from __future__ import annotations

from alembic import op

from tasklift_inbox.tables import METADATA

revision = "inbox_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    METADATA.create_all(op.get_bind())
