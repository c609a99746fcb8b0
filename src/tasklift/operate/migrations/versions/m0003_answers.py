"""Lists and objects that were answered, as JSON: they stood there as Python writes them, which nothing reads back."""

from __future__ import annotations

from alembic import op

revision = "traffic_0003"
down_revision = "traffic_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take them from the whole prediction beside."""
    if op.get_bind().dialect.name == "sqlite":
        kind, answer = "json_type(prediction, '$.output')", "prediction -> '$.output'"
    else:
        kind = "json_typeof(CAST(prediction AS json) -> 'output')"
        answer = "CAST(CAST(prediction AS json) -> 'output' AS text)"
    op.execute(
        f"UPDATE traces SET output = {answer} "  # noqa: S608 - our own names
        f"WHERE (output LIKE '[%' OR output LIKE '{{%') AND {kind} IN ('array', 'object')"
    )
