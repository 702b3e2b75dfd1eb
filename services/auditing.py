"""`jiesu score`: the service's own formula on a table of counts, for auditors. Contract section 8."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError

from services.scoring_service.counting import MEASURES, Counts
from services.scoring_service.documents import columns_of, document_of, rows_of
from services.scoring_service.founding import shipped
from services.scoring_service.policy import Policy, read_policy
from services.scoring_service.tables import LeagueTable, made
from shared.contracts.codes import Basis, League
from shared.engine.clock import Clock

_ANSWERS = ("satisfied", "basically_satisfied", "not_stated")
_WITHIN = ("contacted", "resolved", "contact_stated", "resolution_stated", "satisfaction_stated")
"""What cannot be more than the valid callbacks."""
_OF_RECEIVED = ("valid_callbacks", "closed", "callbacks", "signed_in_time", "contacted_in_time", "feedback_in_time")
LONGEST = 9
"""Digits of a count."""


class WrongCounts(Exception):
    """The table or the policy cannot be used; the message says where and why."""


def policy_named(name: str) -> Policy:
    """A shipped version, or a file with a policy document. Raises WrongCounts."""
    if name in shipped():
        return read_policy(dict(shipped()[name]))
    file = Path(name)
    if not file.is_file():
        raise WrongCounts(f"no policy {name}: name a JSON file, or one of {', '.join(shipped())}")
    try:
        return read_policy(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, UnicodeDecodeError) as error:
        where = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "it is no JSON object"}
        place = "/".join(map(str, where["loc"]))
        raise WrongCounts(f"{file}: {f'/{place}: ' if place else ''}{where['msg']}") from None


def read_counts(lines: TextIO, policy: Policy, league: League | None = None, period: str | None = None) -> list[Counts]:
    """From CSV with the columns unit[,name] and the measures that the policy's weights rest on; others are nought where
    they are not there, except that who was asked is taken to have answered. Raises WrongCounts.
    """
    reader = csv.DictReader(lines)
    names = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = names
    if len(set(names)) < len(names):
        raise WrongCounts("a column is there twice")
    if "unit" not in names:
        raise WrongCounts("the table has no column unit")
    if unknown := set(names) - {"unit", "name", *MEASURES}:
        raise WrongCounts(f"unknown columns {', '.join(sorted(unknown))}; there are unit, name, {', '.join(MEASURES)}")
    needed = _needed(policy, policy.weights_for(league, period))
    if missing := sorted(needed - set(names)):
        raise WrongCounts(f"{policy.version} rests on {', '.join(missing)}, and there is no such column")
    units: dict[str, Counts] = {}
    for number, row in enumerate(reader, 2):
        counts = _row(number, row, needed)
        if counts.unit_id in units:
            raise WrongCounts(f"row {number}: the unit {counts.unit_id} is there twice")
        units[counts.unit_id] = counts
    return list(units.values())


def _needed(policy: Policy, weights: Mapping[str, Decimal]) -> set[str]:
    """The columns without which the weighted rates would be nought for want of counts."""
    rates = [policy.every_rate[name] for name, weight in weights.items() if weight]
    measures = {name for rate in rates for name, each in rate.of.items() if each} | {rate.over for rate in rates}
    return measures - set(_ASSUMED)


_ASSUMED = ("contact_stated", "resolution_stated", "satisfaction_stated", "dissatisfied", "basically_satisfied")
"""What follows from the others, or may well be nought."""


def _row(number: int, row: Mapping[str, Any], needed: AbstractSet[str]) -> Counts:
    unit = (row.get("unit") or "").strip()
    if not unit or None in row:
        raise WrongCounts(f"row {number}: {'too many cells' if None in row else 'no unit'}")
    if empty := [name for name in sorted(needed) if not (row.get(name) or "").strip()]:
        raise WrongCounts(f"row {number}: nothing under {', '.join(empty)}")
    found = {name: _number(number, name, row[name]) for name in MEASURES if row.get(name) not in (None, "")}
    valid = found.get("valid_callbacks", 0)
    rest = valid - sum(found.get(name, 0) for name in _ANSWERS)
    if rest < 0 or any(found.get(name, 0) > valid for name in _WITHIN):
        raise WrongCounts(f"row {number}: more answers than valid callbacks")
    if found.setdefault("dissatisfied", rest) != rest:
        raise WrongCounts(f"row {number}: the four answers do not add up to the valid callbacks")
    most = found.get("received")
    if most is not None and any(found.get(name, 0) > most for name in _OF_RECEIVED):
        raise WrongCounts(f"row {number}: more than were received")
    asked = {
        "contact_stated": valid,
        "resolution_stated": valid,
        "satisfaction_stated": valid - found.get("not_stated", 0),
    }
    return Counts(unit, (row.get("name") or unit).strip(), **(asked | found))


def _number(number: int, name: str, text: str) -> int:
    digits = text.strip()
    if not digits.isascii() or not digits.isdecimal() or len(digits) > LONGEST:
        raise WrongCounts(f"row {number}: {name} is no whole number from 0")
    return int(digits)


def write_table(
    counts: Sequence[Counts], policy: Policy, league: League | None, period: str, clock: Clock, out: TextIO
) -> None:
    """The league table as CSV, ranked."""
    document = document_of(made(LeagueTable(policy, period, league, Basis.ALL, clock.now(), ()), counts))
    columns = [name for name in columns_of(document) if name not in _COMPARED]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow("unit" if name == "unit_id" else name for name in columns)
    for row in rows_of(document, columns):
        writer.writerow(_cell(value) for value in row)


_COMPARED = frozenset(("previous_rank", "rank_change", "composite_change", "progress_rank", "expected_resolution_rate"))
"""What a table of counts alone cannot tell."""


def _cell(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
