"""What is kept from those whom it does not concern: names in words, accounts and people in events, whole events."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contracts.catalogue import CATALOGUE
from shared.contracts.outward import WITHHELD, shown
from shared.web.masking import MASKED, masked
from shared.web.visibility import internal


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("王芳说停水", f"{MASKED}说停水"),
        ("请回电13800000000，找王芳，王芳", f"请回电{MASKED}，找{MASKED}，{MASKED}"),
        ("李雷说停水", "李雷说停水"),
        (
            {"text": "王芳", "deep": [{"note": "王芳家"}, 7, True]},
            {"text": MASKED, "deep": [{"note": f"{MASKED}家"}, 7, True]},
        ),
        (["王芳", "水"], [MASKED, "水"]),
        (7, 7),
        (None, None),
    ],
)
def test_what_is_known_to_be_the_appellants_is_taken_out_wherever_it_was_written(value: Any, left: Any) -> None:
    assert masked(value, ["王芳", "13800000000", None, ""]) == left


def test_the_appellant_as_such_and_the_names_of_fields_are_left() -> None:
    told = {"appellant": {"name": "王芳"}, "王芳": "王芳"}
    assert masked(told, ["王芳"]) == {"appellant": {"name": "王芳"}, "王芳": MASKED}
    assert told["王芳"] == "王芳", "what was given is not changed"


def test_one_letter_tells_nobody() -> None:
    assert masked("王府井停水", ["王"]) == "王府井停水"


def test_who_a_person_is_and_which_account_acted_is_withheld() -> None:
    assert "person" in WITHHELD
    assert shown({"person": "p1", "officer": "wang", "by": "li", "round": 1}) == {"round": 1}
    assert shown({"reader": "UNIT", "count": 1}) == {"reader": "UNIT", "count": 1}


INTERNAL = {"callback-assigned", "recheck-ordered", "callback-rechecked"}
ABOUT_PEOPLE = {"notification", "preference", "supervision"}


@pytest.mark.parametrize("event_type", sorted(CATALOGUE))
def test_who_asks_whom_again_who_was_told_and_leads_are_for_the_hotline_alone(event_type: str) -> None:
    service, name = event_type.split(".")[3:5]
    ours = service == "feedback" and (name in INTERNAL or name.partition("-")[0].rstrip("s") in ABOUT_PEOPLE)
    access = service == "intake" and name.startswith(("api-key-", "operation-", "master-key-"))
    assert internal(event_type) is (ours or access)


@pytest.mark.parametrize("event_type", ["", "cn.gov.appeals.feedback.case-opened.v99", "cn.gov.appeals.other.it.v1"])
def test_so_is_what_nobody_knows(event_type: str) -> None:
    assert internal(event_type)
