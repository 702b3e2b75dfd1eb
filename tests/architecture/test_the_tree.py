"""What the tree promises its reader: small files, short functions, a true catalogue, nothing private."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.city import APIS, SERVICES
from shared.contracts.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
LONGEST_FILE, LONGEST_FUNCTION = 350, 60
MEDIAN_FUNCTION, MOST_FUNCTIONS = 10, 30
PRIVATE = re.compile(
    r"(?<![\w.])/(work|root|farm)/\w|https?://\S*(/simple/|maven2)|^--(extra-)?index-url", re.MULTILINE
)


def sources() -> list[Path]:
    return [path for top in ("services", "shared") for path in sorted((ROOT / top).rglob("*.py"))]


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node, (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_file_and_no_function_is_too_long() -> None:
    long_files = {
        str(p.relative_to(ROOT)): n for p in sources() if (n := len(p.read_text().splitlines())) > LONGEST_FILE
    }
    long_functions = {f"{p.name}:{f.name}": lines for p, f, lines in functions() if lines > LONGEST_FUNCTION}
    assert (long_files, long_functions) == ({}, {})


def test_functions_are_short_as_a_rule() -> None:
    lengths = sorted(lines for _, _, lines in functions())
    assert statistics.median(lengths) <= MEDIAN_FUNCTION
    assert lengths[len(lengths) * 95 // 100] <= MOST_FUNCTIONS


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_opens_with_why_it_exists(path: Path) -> None:
    text = path.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_reactions_and_views_read_only_what_the_catalogue_says(service: object) -> None:
    name, reactions, views = service.name, service.reactions, service.views  # type: ignore[attr-defined]
    undeclared = [p.__name__ for p in reactions.table if name not in CATALOGUE[p.event_type()].readers]
    assert undeclared == []
    read = {source for view in views for source in view.sources} | set(reactions.sources)
    declared = {event.owner for event in CATALOGUE.values() if name in event.readers}
    assert read == declared


def test_every_service_has_an_api() -> None:
    assert list(APIS) == [service.name for service in SERVICES]


def test_nothing_private_is_committed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    here = Path(__file__).relative_to(ROOT)
    named = [name for name in listed if Path(name) != here and PRIVATE.search(_text(ROOT / name))]
    assert named == []


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="ignore") if path.exists() else ""
