"""From the request to the facts: time, matter and contact (Regulation Art 10)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from services.intake_service.registration import AppealBody, facts_of, new_tracking_code
from shared.contracts.codes import Channel, Kind
from shared.contracts.intake import (
    AppealRegistered,
    Place,
)
from shared.engine.decider import Refused
from shared.engine.ids import CountingIds
from shared.web.tracking import hash_of
from tests.unit.test_appeal import AT


def facts(channel: Channel = Channel.PHONE, **changes: Any) -> AppealRegistered:
    body: dict[str, Any] = {"kind": Kind.HELP, "channel": channel, "content": "路灯不亮"}
    body |= {"appellant": {"phone": "13800138000"}} | changes
    return facts_of(
        AppealBody.model_validate(body),
        Place(),
        ticket_no="20261123-0000001",
        tracking_code="AAAA",
        client="web",
        now=AT,
        index_key=b"k" * 32,
        subject_key="k1",
        ids=CountingIds(),
    )


NEEDS_CONTACT = {"PHONE", "WEB", "APP", "WECHAT", "SMS", "EMAIL", "COUNTER"}


@pytest.mark.parametrize("channel", list(Channel))
def test_a_channel_that_identifies_nobody_must_bring_a_contact(channel: Channel) -> None:
    if channel in NEEDS_CONTACT:
        with pytest.raises(Refused) as refusal:
            facts(channel, appellant={}, location={"site": "三眼井"})
        assert refusal.value.code == "CONTACT_MISSING"
    else:
        assert facts(channel, appellant={}, location={"site": "三眼井"}).appellant.ref.startswith("a")


@pytest.mark.parametrize("location", [None, {}, {"district": "110101"}])
def test_a_proposal_on_a_map_is_about_a_place(location: dict[str, str] | None) -> None:
    with pytest.raises(Refused) as refusal:
        facts(Channel.QR_MAP, location=location)
    assert refusal.value.code == "PLACE_MISSING"
    assert facts(Channel.QR_MAP, location={"longitude": 116.4, "latitude": 39.9}).channel is Channel.QR_MAP


def test_for_a_post_in_the_community_app_a_sentence_is_enough() -> None:
    assert facts(Channel.COMMUNITY_APP, appellant={}).content


@pytest.mark.parametrize("who", [{"phone": "13800138000"}, {"email": "a@b.cn"}, {"anonymous": True}])
def test_phone_or_email_or_a_wish_to_stay_anonymous_is_contact_enough(who: dict[str, Any]) -> None:
    assert facts(appellant=who).appellant.ref


def test_an_anonymous_appellant_is_not_recognised_by_the_phone() -> None:
    ref = facts(appellant={"phone": "13800138000", "anonymous": True}).appellant.ref
    assert ref.startswith("a")
    assert ref != facts().appellant.ref


def test_an_appeal_cannot_have_been_raised_in_the_future_beyond_the_skew_of_clocks() -> None:
    skew = timedelta(minutes=5)
    assert facts(raised_at=(AT + skew).isoformat()).raised_at == AT + skew
    with pytest.raises(Refused) as refusal:
        facts(raised_at=(AT + skew + timedelta(milliseconds=1)).isoformat(timespec="milliseconds"))
    assert refusal.value.code == "RAISED_IN_FUTURE"


def test_what_an_appeal_says_is_sealed_under_the_key_it_was_given() -> None:
    assert (facts().appellant.key, facts(appellant={"anonymous": True}).appellant.key) == ("k1", "k1")


def test_without_a_time_of_its_own_an_appeal_was_raised_now() -> None:
    assert facts().raised_at == AT


def test_a_tracking_code_is_recognised_however_it_is_typed() -> None:
    code = new_tracking_code(CountingIds())
    assert re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{8}){4}", code)
    assert hash_of(f" {code.lower()} ") == hash_of(code)
    assert facts().tracking_hash == hash_of("AAAA")
