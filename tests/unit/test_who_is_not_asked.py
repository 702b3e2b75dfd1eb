"""Who is not proposed, what is said of rules that find nobody, and what waits although nobody was asked."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from services.routing_service.climbing import NoteDispatchOverdue
from services.routing_service.matter import Matter
from services.routing_service.order import ORDER
from services.routing_service.proposal import NO_UNIT, Learned, propose
from shared.contracts.routing import DispatchOverdue
from shared.language.gazetteer import Division, Gazetteer, Level
from tests.support.spec import given
from tests.unit.test_order import AT, DISPATCHED, MOMENT, PROPOSED
from tests.unit.test_proposal import LIGHT, RUBBISH, WANGJING, directory, rule

WAGES = rule("wages", "bj-human-resources", "拖欠工资", department_only=True)
GONE = rule("gone", "bj-nobody", "拖欠工资")
STREET = Learned("clf-1", {"TOWNSHIP": Decimal("0.9")})
LATE = AT + timedelta(hours=2)


def units(matter: Matter, *rules: object, learned: Learned | None = None) -> list[str]:
    return [one.unit_id for one in propose(matter, directory(*rules), learned)]  # type: ignore[arg-type]


def test_what_a_department_does_itself_is_not_proposed_to_the_grass_roots_whatever_a_model_says() -> None:
    wages = Matter(content="工地拖欠工资三个月", township=WANGJING)
    assert units(wages, WAGES, learned=STREET) == ["bj-human-resources"]
    both = Matter(title="拖欠工资", content="拖欠工资，门口还有垃圾", township=WANGJING)
    assert units(both, WAGES, RUBBISH, learned=STREET) == ["bj-human-resources"]
    mostly = Matter(title="垃圾堆积", content="垃圾很多，也有人拖欠工资", township=WANGJING)
    assert units(mostly, WAGES, RUBBISH)[0] == WANGJING


def test_a_rule_whose_unit_is_not_there_is_named_in_the_reasons_of_the_first_candidate() -> None:
    (first, *_) = propose(Matter(content="拖欠工资，路灯也坏了"), directory(GONE, LIGHT))
    assert first.unit_id == "bj-power" and first.why[-1] == f"rule gone fits as well, but {NO_UNIT}"
    (district,) = propose(Matter(content="拖欠工资", township=WANGJING), directory(GONE))
    assert district.unit_id == "110105" and "rule gone" in district.why[-1]


def test_a_tree_that_bites_its_tail_still_ends() -> None:
    street, district = Division("1", "某街道", Level.TOWN, "2"), Division("2", "某区", Level.DISTRICT, "1")
    assert Gazetteer([street, district]).chain("1") == {Level.TOWN: "1", Level.DISTRICT: "2"}


def test_what_nobody_has_dispatched_in_time_is_noted_exactly_when_it_is_overdue() -> None:
    waits = PROPOSED.model_copy(update={"dispatch_due_at": LATE})
    given(ORDER, waits).when(NoteDispatchOverdue(at=LATE - MOMENT)).then()
    given(ORDER, waits).when(NoteDispatchOverdue(at=LATE)).then(DispatchOverdue(due_at=LATE))
    given(ORDER, waits, DISPATCHED).when(NoteDispatchOverdue(at=LATE)).then()
    given(ORDER, PROPOSED).when(NoteDispatchOverdue(at=LATE)).then()
