"""How a person wants to be told: said once, kept until something else is said."""

from __future__ import annotations

from datetime import datetime

import pytest

from services.feedback_service.preference import PREFERENCE, Preference, SetPreference
from shared.contracts.codes import Language, NoticeChannel
from shared.contracts.envelope import BEIJING
from shared.contracts.notices import PreferencesSet
from shared.engine.decider import Command
from tests.support.spec import given

AT = datetime(2026, 11, 24, 9, 0, tzinfo=BEIJING)
SMS, MAIL = NoticeChannel.SMS, NoticeChannel.EMAIL


def wants(language: Language = Language.ZH, *off: NoticeChannel, optional: bool = True) -> SetPreference:
    return SetPreference(at=AT, language=language, off=off, optional=optional)


def chosen(language: Language = Language.ZH, *off: NoticeChannel, optional: bool = True) -> PreferencesSet:
    return PreferencesSet(language=language, off=off, optional=optional)


def test_who_has_said_nothing_is_told_everything_in_chinese_by_every_way() -> None:
    assert PREFERENCE.initial == Preference(Language.ZH, (), True)
    given(PREFERENCE).when(wants()).then()


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (wants(Language.EN), chosen(Language.EN)),
        (wants(Language.ZH, SMS), chosen(Language.ZH, SMS)),
        (wants(optional=False), chosen(optional=False)),
        (wants(Language.EN, SMS, MAIL, optional=False), chosen(Language.EN, MAIL, SMS, optional=False)),
    ],
)
def test_a_wish_is_recorded_and_said_again_changes_nothing(command: SetPreference, event: PreferencesSet) -> None:
    spec = given(PREFERENCE).when(command)
    spec.then(event)
    assert spec.state_after() == Preference(event.language, event.off, event.optional)
    given(PREFERENCE, event).when(command).then()


@pytest.mark.parametrize("off", [(SMS, MAIL), (MAIL, SMS), (MAIL, SMS, MAIL, SMS)])
def test_ways_are_kept_once_and_in_one_order(off: tuple[NoticeChannel, ...]) -> None:
    given(PREFERENCE).when(wants(Language.ZH, *off)).then(chosen(Language.ZH, MAIL, SMS))
    given(PREFERENCE, chosen(Language.ZH, MAIL, SMS)).when(wants(Language.ZH, *off)).then()


def test_a_later_wish_replaces_all_of_an_earlier_one() -> None:
    spec = given(PREFERENCE, chosen(Language.EN, SMS, optional=False)).when(wants())
    spec.then(chosen())
    assert spec.state_after() == PREFERENCE.initial


def test_an_unknown_command_is_a_mistake_in_the_programme() -> None:
    with pytest.raises(TypeError):
        PREFERENCE.decide(Command(at=AT), PREFERENCE.initial)
