"""Keys of integrators; a changed master key."""

from pathlib import Path
from typing import Any

from alembic import op

revision = "0003_api_keys"
down_revision = "0002_destroy"


def upgrade() -> None:
    """Runs the SQL beside this file in one go; it creates what does not exist and changes nothing else."""
    script = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    driver: Any = op.get_bind().connection.dbapi_connection
    driver.run_async(lambda connection: connection.execute(script))
