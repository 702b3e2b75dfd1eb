"""append_batch looks only where no service can put anything, and the log's triggers fire in every session."""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0004_fenced"
down_revision = "0003_tree"


def upgrade() -> None:
    """Runs the SQL beside this file in one go."""
    script = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    driver: Any = op.get_bind().connection.dbapi_connection
    driver.run_async(lambda connection: connection.execute(script))
