"""What strangers build on does not break: schemas and stored events of every version, in both directions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from services.city import SERVICES
from shared.contracts.catalogue import CATALOGUE, EventType
from shared.contracts.documents import asyncapi, event_schema, flow_diagram
from shared.contracts.envelope import decode_envelope
from shared.contracts.upcasters import payload_of
from shared.eventlog.canonical import canonical
from shared.messaging.cloudevents import schema_of
from tests.contract.golden import EVENTS, FLOW, README, SCHEMAS
from tests.support.examples import example

RECORD = "run `make contracts` and commit what it recorded"
BUMP = "old readers cannot read this: give the event VERSION + 1 and an upcaster, then run `make contracts`"
TYPES = sorted(CATALOGUE)


def recorded_schema(event_type: str) -> dict[str, Any]:
    path = SCHEMAS / f"{event_type}.json"
    assert path.exists(), f"{event_type} has no recorded schema: {RECORD}"
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


def faults(schema: dict[str, Any], event: bytes) -> list[str]:
    return [fault.message for fault in Draft202012Validator(schema).iter_errors(json.loads(event))]


@pytest.mark.parametrize("event_type", TYPES)
def test_a_reader_of_the_recorded_schema_can_read_what_is_written_today(event_type: str) -> None:
    schema = recorded_schema(event_type)
    for filled in (True, False):
        assert faults(schema, canonical(example(CATALOGUE[event_type], filled).as_json())) == [], BUMP


@pytest.mark.parametrize("path", sorted(EVENTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_event_ever_released_can_be_read_today(path: Any) -> None:
    stored = path.read_bytes()
    envelope = decode_envelope(stored)
    assert canonical(envelope.as_json()) == stored
    assert envelope.type == path.stem
    payload = payload_of(envelope.type, envelope.data)
    assert faults(event_schema(CATALOGUE[payload.event_type()]), stored) == [] or payload.event_type() != path.stem


@pytest.mark.parametrize("event_type", TYPES)
def test_every_event_has_a_recorded_schema_and_example_that_are_true_today(event_type: str) -> None:
    assert recorded_schema(event_type) == event_schema(CATALOGUE[event_type]), f"{event_type} has changed: {RECORD}"
    assert (EVENTS / f"{event_type}.json").exists(), RECORD
    assert recorded_schema(event_type)["$id"] == schema_of(event_type)


def test_a_schema_that_loses_a_field_is_caught() -> None:
    event = CATALOGUE["cn.gov.appeals.routing.order-dispatched.v1"]
    written = example(event).as_json()
    del written["data"]["due_at"]
    assert faults(recorded_schema(event.type), canonical(written)) == ["'due_at' is a required property"]


def reads(service: Any, event: EventType) -> bool:
    """Whether the code of a service does anything with an event."""
    deadlines = service.deadlines.changes if service.deadlines else {}
    if event.payload in service.reactions.table or (event.owner == service.name and event.payload in deadlines):
        return True
    views = [view for view in service.views if event.owner in view.sources]
    return any(view.wants(example(event)) for view in views)


@pytest.mark.parametrize("event_type", TYPES)
def test_the_catalogue_names_exactly_the_services_that_read_an_event(event_type: str) -> None:
    event = CATALOGUE[event_type]
    assert {service.name for service in SERVICES if reads(service, event)} == set(event.readers)


@pytest.mark.parametrize("service", ["intake", "routing", "feedback", "scoring"])
def test_asyncapi_names_what_a_service_sends_and_receives(service: Any) -> None:
    document = asyncapi(service)
    sent = {event.type for event in CATALOGUE.values() if event.owner == service}
    received = {event.type for event in CATALOGUE.values() if event.owner != service and service in event.readers}
    operations = document["operations"].values()
    named = {
        action: {_last(ref) for one in operations if one["action"] == action for ref in one["messages"]}
        for action in ("send", "receive")
    }
    assert named == {"send": sent, "receive": received}


def _last(reference: dict[str, str]) -> str:
    return reference["$ref"].rsplit("/", 1)[-1]


def test_the_diagram_in_the_readme_is_the_catalogue() -> None:
    found = FLOW.search(README.read_text(encoding="utf-8"))
    assert found is not None and found[2] == flow_diagram(), RECORD
