"""One trace through HTTP, log and Kafka: W3C Trace Context, carried by the events themselves.

An event keeps the `traceparent` under which it was written; whoever reacts to it goes on with that trace. Without a
collector nothing is recorded, and a caller's own trace is passed on all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()
_TRACER = trace.get_tracer("jiesu")
_recording = False


def send_traces_to(endpoint: str, service: str) -> None:
    """Record spans from now on, and send them to an OpenTelemetry collector (OTLP over HTTP)."""
    global _recording  # noqa: PLW0603 - the API has one provider per process as well
    provider = TracerProvider(resource=Resource.create({"service.name": f"jiesu-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
    trace.set_tracer_provider(provider)
    _recording = True


def flush_traces() -> None:
    """Send what is recorded, before the process ends."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


def current_traceparent() -> str | None:
    """What an event that is written now has to carry."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@contextmanager
def span(name: str, traceparent: str | None) -> Iterator[None]:
    """What happens inside belongs to this trace; without one, to a new trace if any are recorded."""
    if traceparent is None and not _recording:
        yield
        return
    parent = _PROPAGATOR.extract({"traceparent": traceparent}) if traceparent else None
    # Messages of exceptions may repeat what a person wrote: only their kind is told.
    with _TRACER.start_as_current_span(
        name, context=parent, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except Exception as error:
            current.set_attribute("error.type", type(error).__name__)
            raise
