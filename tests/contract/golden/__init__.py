"""Every version of every event that was ever released: its schema, and its bytes. Examples are added, never changed."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
SCHEMAS, EVENTS = HERE / "schemas", HERE / "events"
README = HERE.parents[2] / "README.md"
FLOW = re.compile(r"(<!-- flow: made by `make contracts` -->\n```mermaid\n)(.*?)(\n```)", re.DOTALL)
