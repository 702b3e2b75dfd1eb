"""Every metric with its sentence, and how log lines look. Nothing here carries text that a person wrote."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from prometheus_client import Counter, Gauge, Histogram

SAME_LINE_SECONDS = 30.0

REQUESTS = Counter("jiesu_http_requests_total", "Answers given, by route and status.", ["service", "route", "status"])
REQUEST_SECONDS = Histogram("jiesu_http_request_seconds", "Time from request to answer.", ["service", "route"])
CONSUMED = Counter("jiesu_consumed_events_total", "Events that took effect at a consumer.", ["consumer", "source"])
CONSUMER_STOPPED = Gauge(
    "jiesu_consumer_stopped", "1 when a consumer had to stop and needs a person.", ["consumer", "source"]
)
PARKED = Counter(
    "jiesu_parked_events_total", "Events put aside because they could not be handled.", ["consumer", "reason"]
)
SKIPPED = Counter("jiesu_unknown_events_total", "Events of a type that this version does not know.", ["consumer"])
PARKED_NOW = Gauge("jiesu_parked_now", "Events that wait aside at this moment.", ["service", "consumer"])
FOREIGN = Counter(
    "jiesu_foreign_records_total", "Records in a topic that our relay did not write; skipped.", ["source", "reason"]
)
CONSUMER_LAG = Gauge(
    "jiesu_consumer_lag_events",
    "Events of a source that a consumer has not taken yet.",
    ["service", "consumer", "source"],
)
RELAY_LAG = Gauge("jiesu_relay_lag_events", "Events in the log that are not in the topic yet.", ["service"])
RELAY_AGE = Gauge("jiesu_relay_age_seconds", "How long the topic has been behind the log.", ["service"])
APPEND_SECONDS = Histogram(
    "jiesu_append_seconds", "From handing a command's events to the log until they are durable.", ["service"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2, 5),
)  # fmt: skip
DELIVERED = Counter("jiesu_webhook_deliveries_total", "Webhook attempts, by how they went.", ["service", "outcome"])
NOTIFIED = Counter("jiesu_notifications_total", "What became of notices to people, step by step.", ["step"])
STREAMS = Gauge("jiesu_streams_open", "Clients that follow the event stream now.", ["service"])
UNSIGNED = Gauge("jiesu_unsigned_events", "Events that no published checkpoint covers yet.", ["service"])
DEADLINES_FIRED = Counter("jiesu_deadlines_fired_total", "Deadlines whose command was carried out.", ["service"])
DEADLINE_LATENESS = Histogram(
    "jiesu_deadline_lateness_seconds", "How long after its due time a deadline fired.", ["service"],
    buckets=(0.1, 0.5, 1, 2, 5, 30, 300, 3600, 86400),
)  # fmt: skip


def configure_logging(level: str) -> None:
    """JSON lines on standard error, UTC, one event a line; what libraries log looks the same."""
    common: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    as_json = structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[*common, as_json],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=common, processors=[remove, as_json]))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    handler.addFilter(Sparing())


class Sparing(logging.Filter):
    """Says the same thing once in a while: clients of a broker that is away repeat themselves many times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is new, or long enough after the last one from the same place."""
        place = (record.pathname, record.lineno)
        if record.created - self._said.get(place, 0.0) < SAME_LINE_SECONDS:
            return False
        self._said[place] = record.created
        return True
