"""What is told of an error, in log lines, in readiness and in traces: its kind, and no words that a person wrote."""

from __future__ import annotations

import json

import asyncpg
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.engine import tracing
from shared.engine.consume import told
from shared.eventlog.log import WrongVersion
from shared.messaging.bus import BusUnavailable

WROTE = "王芳家里停水两天"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class OfATest(Exception):
    """Not from one of our own packages."""


class Deeper(BusUnavailable):
    """Not ours either, although it is made of one of ours."""


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Where spans go."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_TRACER", provider.get_tracer("test"))
    monkeypatch.setattr(tracing, "_recording", True)
    return exporter


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


@pytest.mark.parametrize("parent", [None, f"00-{TRACE}-00f067aa0ba902b7-01"])
def test_a_span_tells_the_kind_of_an_error_and_nothing_of_its_message(
    recorded: InMemorySpanExporter, parent: str | None
) -> None:
    with pytest.raises(ValueError, match=WROTE), tracing.span("decide", parent):
        raise ValueError(WROTE)
    span = only(recorded)
    assert span.attributes == {"error.type": "ValueError"}
    assert WROTE not in str(json.loads(span.to_json())) and span.events == () and span.status.description is None


def test_a_span_in_which_all_went_well_has_no_error_and_belongs_to_its_trace(recorded: InMemorySpanExporter) -> None:
    with tracing.span("decide", f"00-{TRACE}-00f067aa0ba902b7-01"):
        pass
    span = only(recorded)
    assert span.attributes == {} and f"{span.context.trace_id:032x}" == TRACE


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BusUnavailable("Kafka has no topic"), "BusUnavailable: Kafka has no topic"),
        (WrongVersion("appeal-1", 3), "WrongVersion: appeal-1 is no longer at version 3"),
        (ValueError(WROTE), "ValueError"),
        (asyncpg.DataError(f'invalid input: "{WROTE}"'), "DataError"),
        (OfATest(WROTE), "OfATest"),
        (Deeper(WROTE), "Deeper"),
    ],
)
def test_only_errors_of_our_own_are_told_with_their_message(error: Exception, said: str) -> None:
    assert told(error) == said
