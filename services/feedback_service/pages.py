"""The residents' pages."""

from pathlib import Path

from services.feedback_service.policy import read_table
from shared.web.pages import Pages

PAGES = Pages(Path(__file__).parent / "pages", lambda: read_table("pages.toml"))
