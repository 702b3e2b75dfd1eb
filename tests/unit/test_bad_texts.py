"""Texts from the tables of trouble on their way out: canonical bytes, records, tables, and lines of a log."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest
import rfc8785
from openpyxl import load_workbook

from shared.eventlog.canonical import canonical
from shared.eventlog.log import Recorded
from shared.messaging.cloudevents import from_message, to_message
from shared.web.tables import CSV, XLSX, read_table, table_response
from tests.support.bad_texts import INJECTIONS, RARE, UNSEEN
from tests.support.events import envelope

TEXTS = UNSEEN | RARE | INJECTIONS
COLUMNS = ("name", "text")
LOGGING = """
import json, sys
from shared.engine.telemetry import configure_logging
configure_logging("info")
import logging, structlog
logging.getLogger().handlers[0].filters.clear()  # which says what repeats itself once in a while only
for text in json.load(sys.stdin):
    structlog.get_logger().info("said", text=text)
    logging.getLogger("a.library").warning("said %s", text)
"""


def test_every_text_has_the_canonical_bytes_of_the_standard_and_comes_back() -> None:
    for name, text in TEXTS.items():
        made = canonical({"text": text, text: name})
        assert made == rfc8785.dumps({"text": text, text: name}), name
        assert json.loads(made) == {"text": text, text: name}, name


def test_every_text_goes_through_a_record_to_the_byte() -> None:
    for name, text in TEXTS.items():
        one = envelope("s-1", 1)._replace(data={"text": text})
        event = Recorded(0, 1, one.stream, 1, one.type, canonical(one.as_json()))
        message = to_message(event)
        heard = from_message("intake", 0, 1, message.key, message.value, dict(message.headers))
        assert heard.body == event.body and heard.envelope.data == {"text": text}, name


def exported(media_type: str) -> bytes:
    return bytes(table_response(media_type, "x", COLUMNS, list(TEXTS.items())).body)


@pytest.mark.parametrize("media_type", [CSV, XLSX])
def test_every_text_comes_back_from_a_table(media_type: str) -> None:
    rows = read_table(io.BytesIO(exported(media_type)), media_type, COLUMNS, ())
    back = {row["name"]: row["text"] for row in rows}
    assert list(back) == list(TEXTS)
    lines = media_type == XLSX  # XML knows one kind of line end
    wrong = {
        name: text
        for name, text in TEXTS.items()
        if (back[name].replace("\r\n", "\n") if lines else back[name])
        != (text.replace("\r\n", "\n") if lines else text)
    }
    assert not wrong


def test_no_text_leaves_in_a_table_as_a_formula() -> None:
    cells = [row[1] for row in csv.reader(io.StringIO(exported(CSV).decode("utf-8-sig"), newline=""))]
    book = load_workbook(io.BytesIO(exported(XLSX)))
    sheet = [(cell.data_type, str(cell.value or "")) for (cell,) in book.worksheets[0].iter_rows(min_col=2)]
    assert {kind for kind, _ in sheet} == {"s"}
    runs = [cell for cell in [*cells, *(text for _, text in sheet)] if cell[:1] in set("=+-@\t\r＝＋－＠")]
    assert not runs


def test_every_text_is_one_line_of_the_log_whoever_writes_it() -> None:
    said = json.dumps(list(TEXTS.values())).encode()
    done = subprocess.run([sys.executable, "-c", LOGGING], input=said, capture_output=True, check=True, timeout=60)
    lines = done.stderr.rstrip(b"\n").split(b"\n")
    assert len(lines) == 2 * len(TEXTS)
    read = [json.loads(line) for line in lines]
    assert [line["text"] for line in read[::2]] == list(TEXTS.values())
    assert [line["event"] for line in read[1::2]] == [f"said {text}" for text in TEXTS.values()]
    assert all({"event", "level", "timestamp"} <= set(line) for line in read)
