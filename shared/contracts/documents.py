"""What strangers build on, from the catalogue: a JSON Schema per event, an AsyncAPI document per service, a diagram.

JSON Schema 2020-12; AsyncAPI 3.0.0; CloudEvents 1.0.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from shared.contracts.catalogue import CATALOGUE, EventType
from shared.contracts.envelope import ServiceName

SERVICES: tuple[ServiceName, ...] = ("intake", "routing", "feedback", "scoring")
TEXT = {"type": "string"}
TIME = {"type": "string", "format": "date-time", "description": "RFC 3339, milliseconds, +08:00"}
ENVELOPE: dict[str, Any] = {
    "id": {"type": "string", "format": "uuid", "description": "UUIDv7"},
    "source": {"type": "string", "description": "/services/<service>"},
    "type": TEXT,
    "subject": {"type": "string", "description": "the appeal (or unit, catalogue, policy) that this is about"},
    "stream": TEXT,
    "version": {"type": "integer", "minimum": 1, "description": "1, 2, 3 … within the stream"},
    "time": TIME,
    "actor": {
        "type": "object",
        "properties": {"role": TEXT, "unit_id": TEXT, "sub": TEXT},
        "required": ["role"],
        "description": "who caused it: a role, the unit acted for, the account; never a name",
    },
    "correlation": {"type": "string", "description": "the event at the beginning of the chain"},
    "causation": {"type": "string", "description": "the event that this one answers to"},
    "traceparent": {"type": "string", "description": "W3C Trace Context"},
}
JSON_SCHEMA = "application/schema+json;version=draft-07"
OPTIONAL = frozenset({"causation", "traceparent"})
HEADERS = {
    "ce_specversion": {"type": "string", "const": "1.0"},
    "ce_id": TEXT,
    "ce_source": TEXT,
    "ce_type": TEXT,
    "ce_subject": {"type": "string", "description": "equals the record's key"},
    "ce_time": TIME,
    "ce_partitionkey": TEXT,
    "ce_sequence": {"type": "string", "description": "position in the log partition, zero-padded; no gaps"},
    "ce_streamversion": TEXT,
    "ce_correlationid": TEXT,
    "ce_causationid": TEXT,
    "ce_traceparent": TEXT,
    "ce_dataschema": TEXT,
    "content-type": TEXT,
}
OPTIONAL_HEADERS = frozenset({"ce_causationid", "ce_traceparent"})


def event_schema(event: EventType) -> dict[str, Any]:
    """The whole event as it is stored and published. Readers ignore what they do not know, so nothing is closed."""
    data = _open(event.payload.model_json_schema(mode="serialization"))
    definitions = data.pop("$defs", {})
    properties = ENVELOPE | {"type": {"type": "string", "const": event.type}, "data": data}
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"/{event.owner}/schemas/{event.type}.json",
        "title": event.payload.__name__,
        "description": data.pop("description", ""),
        "type": "object",
        "properties": properties,
        "required": sorted(set(properties) - OPTIONAL),
    }
    return schema | ({"$defs": definitions} if definitions else {})


def _open(schema: Any) -> Any:
    """The same schema, open to fields of later versions."""
    if isinstance(schema, dict):
        kept = {key: value for key, value in schema.items() if (key, value) != ("additionalProperties", False)}
        return {key: _open(value) for key, value in kept.items()}
    return [_open(one) for one in schema] if isinstance(schema, list) else schema


@cache
def asyncapi(service: ServiceName) -> dict[str, Any]:
    """AsyncAPI 3.0.0: what a service sends to its topic, and what it receives from the others'."""
    sent = [event for event in CATALOGUE.values() if event.owner == service]
    received = [event for event in CATALOGUE.values() if event.owner != service and service in event.readers]
    sources = [one for one in SERVICES if one in {event.owner for event in received}]
    operations = {"publish": _operation("send", service, sent, "Every event, in version order per appeal.")}
    for source in sources:
        events = [event for event in received if event.owner == source]
        operations[f"read_{source}"] = _operation("receive", source, events, "Read by position; a repeat is dropped.")
    shown = {one: [event for event in (*sent, *received) if event.owner == one] for one in (service, *sources)}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"Jiesu {service}",
            "version": "1",
            "description": "CloudEvents 1.0, binary mode. Every event at least once, in version order per appeal; "
            "(ce_source, ce_partitionkey, ce_streamversion) identifies a repeat. Personal texts are sealed.",
        },
        "defaultContentType": "application/json",
        "channels": {source: _channel(source, events) for source, events in shown.items()},
        "operations": operations,
        "components": {"messages": {event.type: _message(event) for event in (*sent, *received)}},
    }


def _channel(source: ServiceName, events: list[EventType]) -> dict[str, Any]:
    return {
        "address": f"appeals.{source}.v1",
        "messages": {event.type: {"$ref": f"#/components/messages/{event.type}"} for event in events},
        "bindings": {"kafka": {"topic": f"appeals.{source}.v1"}},
    }


def _operation(action: str, source: ServiceName, events: list[EventType], summary: str) -> dict[str, Any]:
    messages = [{"$ref": f"#/channels/{source}/messages/{event.type}"} for event in events]
    return {"action": action, "channel": {"$ref": f"#/channels/{source}"}, "summary": summary, "messages": messages}


def _message(event: EventType) -> dict[str, Any]:
    return {
        "name": event.type,
        "title": event.payload.__name__,
        "summary": (event.payload.__doc__ or "").strip(),
        "contentType": "application/json",
        "headers": {"type": "object", "properties": HEADERS, "required": sorted(set(HEADERS) - OPTIONAL_HEADERS)},
        "payload": {
            "schemaFormat": JSON_SCHEMA,
            "schema": _bundled(event_schema(event)),
        },
        "bindings": {"kafka": {"key": {"type": "string", "description": "the appeal's id"}}},
    }


def _bundled(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its definitions put in place, so that no reference leaves the message."""
    definitions = schema.get("$defs", {})

    def put(one: Any) -> Any:
        if isinstance(one, dict):
            if isinstance(reference := one.get("$ref"), str):
                return put(definitions[reference.rsplit("/", 1)[-1]])
            return {key: put(value) for key, value in one.items() if key not in {"$defs", "$schema", "$id"}}
        return [put(item) for item in one] if isinstance(one, list) else one

    bundled: dict[str, Any] = put(schema)
    return bundled


def flow_diagram() -> str:
    """Who tells whom what, as a Mermaid flowchart."""
    lines = ["flowchart LR"]
    lines += [f"    {service}([{service}])" for service in SERVICES]
    for owner in SERVICES:
        for reader in SERVICES:
            names = [
                event.payload.__name__
                for event in CATALOGUE.values()
                if owner != reader and event.owner == owner and reader in event.readers
            ]
            if names:
                lines.append(f'    {owner} -- "{"<br/>".join(names)}" --> {reader}')
    return "\n".join(lines)
