"""A league table on paper: one list of figures, from which JSON, CSV, workbook and page are all made."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.scoring_service.formula import Score, text
from services.scoring_service.policy import THREE
from services.scoring_service.tables import LeagueTable
from shared.contracts.envelope import rfc3339

COUNTS = (
    *("received", "valid_callbacks", "contacted", "resolved"),
    *("satisfied", "basically_satisfied", "dissatisfied", "not_stated"),
)
RATES = tuple(f"{name}_rate" for name in THREE)
COLUMNS: Mapping[str, str] = {
    "rank": "排名",
    "unit_id": "单位编码",
    "name": "单位",
    "received": "受理量",
    "valid_callbacks": "有效回访",
    "contacted": "已联系",
    "resolved": "已解决",
    "satisfied": "满意",
    "basically_satisfied": "基本满意",
    "dissatisfied": "不满意",
    "not_stated": "未表态",
    "response_rate": "响应率",
    "resolution_rate": "解决率",
    "satisfaction_rate": "满意率",
    "composite": "综合成绩",
    "composite_shown": "公布成绩",
    "points": "加分",
    "low": "区间下限",
    "high": "区间上限",
    "label": "类别",
    "previous_rank": "上期排名",
    "rank_change": "名次变化",
    "composite_change": "成绩变化",
    "progress_rank": "进步名次",
    "hard": "疑难工单",
    "expected_resolution_rate": "同类平均解决率",
    "provisional": "样本不足",
    "rated": "计分",
}
"""What a table shows, in order, and how a column is called on paper."""
NUMBERS = frozenset(COLUMNS) - {"unit_id", "name", "label", "provisional", "rated"}


def item_of(one: Score, table: LeagueTable) -> dict[str, Any]:
    """One unit, with every column. Contract section 9 fixes the names; figures are decimal strings of percent."""
    before = table.before.get(one.counts.unit_id)
    gained = (
        None
        if before is None or before.composite is None or one.composite is None
        else one.composite - before.composite
    )
    item: dict[str, Any] = {"unit_id": one.counts.unit_id, "name": one.counts.name}
    item |= {name: getattr(one.counts, name) for name in COUNTS}
    item |= {name: text(getattr(one, name)) for name in (*RATES, "composite", "low", "high")}
    item |= {f"{name}_rate": text(one.rates.get(name)) for name in table.policy.rates}
    item |= {
        "composite_shown": None if one.shown is None else str(one.shown),
        "points": text(sum(one.points.values(), Decimal(0))) if one.rated else None,
        "rank": one.rank,
        "label": one.label,
        "rated": one.rated,
        "provisional": one.provisional,
        "previous_rank": before.rank if before else None,
        "rank_change": before.rank - one.rank if before and before.rank and one.rank else None,
        "composite_change": text(gained),
        "progress_rank": table.progress.get(one.counts.unit_id),
        "hard": one.counts.hard,
        "expected_resolution_rate": text(table.expected.get(one.counts.unit_id)),
    }
    return item


def summary_item(table: LeagueTable) -> dict[str, Any]:
    """The last row."""
    return {name: value for name, value in item_of(table.summary, table).items() if name not in _OF_ONE_UNIT}


_OF_ONE_UNIT = frozenset(
    (
        "unit_id",
        "name",
        "rank",
        "label",
        "provisional",
        "points",
        "previous_rank",
        "rank_change",
        "composite_change",
        "progress_rank",
        "low",
        "high",
    )
)


def document_of(table: LeagueTable) -> dict[str, Any]:
    """The table as JSON."""
    return {
        "period": table.period,
        "league": table.league,
        "basis": table.basis,
        "policy": table.policy.version,
        "as_of": rfc3339(table.as_of),
        "items": [item_of(one, table) for one in table.scores],
        "summary": summary_item(table),
    }


def columns_of(document: Mapping[str, Any]) -> list[str]:
    """The columns of a table: those that all have, and the policy's own rates after the three."""
    known = list(COLUMNS)
    own = [name for name in document["summary"] if name.endswith("_rate") and name not in known]
    at = known.index("composite")
    return known[:at] + own + known[at:]


def rows_of(document: Mapping[str, Any], columns: Sequence[str]) -> list[list[Any]]:
    """The units, cell by cell."""
    return [[_cell(column, item.get(column)) for column in columns] for item in document["items"]]


@dataclass(frozen=True)
class Sheet:
    """One sheet of a workbook. `notes` stand above the table."""

    title: str
    notes: Sequence[str]
    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]


def sheet_of(document: Mapping[str, Any], title: str) -> Sheet:
    """A league table as a sheet."""
    columns = columns_of(document)
    head = [
        f"{document['league']} {document['period']} {document['basis']}",
        f"{document['policy']} {document['as_of']}",
    ]
    summary = {"name": "汇总"} | document["summary"]
    rows = [*rows_of(document, columns), [_cell(column, summary.get(column)) for column in columns]]
    return Sheet(title, head, columns, rows)


def workbook(sheets: Sequence[Sheet]) -> bytes:
    """An XLSX with numbers as numbers; a text that a spreadsheet would take for a formula is kept as text."""
    from openpyxl import Workbook  # noqa: PLC0415 - few answers are spreadsheets, and it is heavy
    from openpyxl.cell import WriteOnlyCell  # noqa: PLC0415

    book = Workbook(write_only=True)
    for sheet in sheets:
        page = book.create_sheet(sheet.title)
        for note in sheet.notes:
            page.append([note])
        page.append([f"{COLUMNS[name]} {name}" if name in COLUMNS else name for name in sheet.columns])
        for row in sheet.rows:
            cells = []
            for value in row:
                shown = {True: "是", False: "否"}[value] if isinstance(value, bool) else value
                cell = WriteOnlyCell(page, shown)
                if isinstance(shown, str):
                    cell.data_type = "s"
                cells.append(cell)
            page.append(cells)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def _cell(name: str, value: Any) -> Any:
    """Figures as numbers, so that no table takes one for something else."""
    numeric = isinstance(value, str) and (name in NUMBERS or name.endswith("_rate"))
    return Decimal(value) if numeric else value
