"""A record that our relay did not write is named by what is wrong with it, and is never an event."""

from __future__ import annotations

import pytest

from shared.messaging.cloudevents import Foreign, from_message
from tests.support.bad_records import FORGED, PARTITIONS, Record, good


def read(record: Record) -> object:
    return from_message(record.service, record.partition, PARTITIONS, record.key, record.value, record.headers)


def test_a_record_of_our_relay_is_an_event() -> None:
    assert read(good()) is not None


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_record_is_foreign_for_a_reason_that_repeats_nothing(what: str) -> None:
    change, reason = FORGED[what]
    with pytest.raises(Foreign) as foreign:
        read(change(good()))
    assert str(foreign.value) == reason
