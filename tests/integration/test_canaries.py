"""Words that only one resident said are looked for wherever bytes go: topics, database, objects, logs, refusals.

Each place must also show words of the same life that are meant to be seen there, so that a blind search cannot pass.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from shared.messaging.brokers import KafkaOptions
from tests.support.city import City, Reply, a_city
from tests.support.database import test_server
from tests.support.kafka import fresh_topics

SERVICES = ("intake", "routing", "feedback", "scoring")
WORDS = [f"雀{one}金丝" for one in "甲乙丙丁戊己庚辛壬癸子丑寅"]
NAME, TITLE, CONTENT, ADDRESS, MORE, WHY, MESSAGE, ANSWER, NOTE, COMMENT, EVIDENCE, FILE_NAME, FILE = WORDS
PHONE, MAIL, POINT = "13798761234", "jinsique@example.cn", ("116.413579", "39.924680")
CANARIES = [*WORDS, PHONE, MAIL, *POINT]
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


def found_in(raw: bytes, words: list[str]) -> list[str]:
    return [word for word in words if any(spelt in raw for spelt in spellings(word))]


def spellings(word: str) -> Iterator[bytes]:
    """A word as it could stand somewhere: UTF-8, JSON escapes, GB18030, UTF-16."""
    yield from (word.encode(), word.encode("ascii", "backslashreplace"), word.encode("gb18030"))
    if not word.isascii():
        yield word.encode("utf-16-le")


async def a_whole_life(city: City) -> tuple[dict[str, Any], list[Reply]]:
    """Everything that can be said in an appeal, said; answers with the case, and with refusals of the same words."""
    who = {"type": "PERSON", "name": NAME, "phone": PHONE, "email": MAIL}
    place = {"address": f"朝外街道{ADDRESS}", "longitude": float(POINT[0]), "latitude": float(POINT[1])}
    about = {"title": f"停水 {TITLE}", "content": f"自来水公司停水 {CONTENT}", "appellant": who, "location": place}
    made = await city.register(**about)
    track, code = f"/intake/v1/track/{made['ticket_no']}", {"X-Tracking-Code": made["tracking_code"]}
    await city.until_state(made["appeal_id"], "REGISTERED")
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{FILE_NAME}.pdf"\r\n\r\n'
    form = f"{head}%PDF-1.7\n{FILE}\r\n--x--\r\n".encode()
    assert (await city.post(f"{track}/attachments", None, None, data=form, headers=code | FORM)).status == 201
    said = {"supplement": {"text": MORE}, "urge": {"reason": WHY}, "messages": {"text": MESSAGE}}
    for what, body in said.items():
        assert (await city.post(f"{track}/{what}", body, None, headers=code)).status == 200
    appeal = f"/intake/v1/appeals/{made['appeal_id']}"
    assert (await city.post(f"{appeal}/malicious-use", {"evidence": EVIDENCE})).status == 200
    await city.until(lambda: city.get(f"/routing/v1/orders/{made['appeal_id']}"), lambda reply: reply.status == 200)
    dispatch = {"unit_id": "bj-water", "reason": NOTE}
    assert (await city.post(f"/routing/v1/orders/{made['appeal_id']}/dispatch", dispatch)).status == 200
    case = await city.until_state(made["appeal_id"], "DISPATCHED")
    await city.handle(case)
    assert (
        await city.as_unit(case, f"/feedback/v1/cases/{case['appeal_id']}/messages", {"text": ANSWER})
    ).status == 200
    assert (await city.callback(case, reasons=[WHY])).body["state"] == "CLOSED"
    await city.until_state(made["appeal_id"], "CLOSED")
    evaluation = {"satisfaction": "SATISFIED", "comment": COMMENT}
    assert (await city.post(f"{track}/evaluation", evaluation, None, headers=code)).status == 200
    bad = [{"kind": NAME}, {"unknown": CONTENT}, {"tags": PHONE}, {"location": {"longitude": ADDRESS}}]
    refused = [await city.post("/intake/v1/appeals", city.appeal(**about) | one, "AGENT") for one in bad]
    refused += [await city.post(f"{track}/{what}", body, None) for what, body in said.items()]
    return case | {"ticket_no": made["ticket_no"]}, refused


async def topics(options: KafkaOptions, events: int) -> bytes:
    """Every byte of the four topics."""
    consumer = AIOKafkaConsumer(
        *(options.topic(service) for service in SERVICES),
        bootstrap_servers=options.bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    read: list[bytes] = []
    try:
        async with asyncio.timeout(60):
            while len(read) < events:
                record = await consumer.getone()
                headers = b"\n".join(name.encode() + b"=" + value for name, value in record.headers)
                read.append(b"\n".join((record.key or b"", headers, record.value or b"")))
    finally:
        await consumer.stop()
    return b"\n".join(read)


def files_with(folder: Path, words: list[str]) -> list[str]:
    """The files under a folder in which one of the words stands."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [f"{path.name}: {found}" for path in files if (found := found_in(path.read_bytes(), words))]


async def test_what_a_resident_says_stands_in_clear_nowhere(
    kafka: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = await fresh_topics(kafka)
    caplog.set_level(logging.DEBUG)
    told = {"kafka_bootstrap": kafka, "kafka_prefix": options.prefix}
    async with test_server() as server, a_city(server, **told) as city:  # of its own: every byte of it is looked at
        case, refused = await a_whole_life(city)
        count = sum([sum(await running.log.heads()) for running in city.running.values()])
        in_topics = await topics(options, count)
        database = files_with(server.home / "postgres", CANARIES)
        seen_there = files_with(server.home / "postgres", [case["ticket_no"]])
        objects = files_with(city.running["intake"].settings.home / "objects", CANARIES)
    out, err = capfd.readouterr()
    logged = "\n".join([out, err, *(f"{one.getMessage()} {one.__dict__}" for one in caplog.records)]).encode()
    assert found_in(in_topics, CANARIES) == [] and found_in(in_topics, [case["ticket_no"], case["appeal_id"]])
    assert database == [] and seen_there, "in the files of the database, its write-ahead log among them"
    assert objects == []
    assert found_in(logged, CANARIES) == [] and found_in(logged, [case["appeal_id"]])
    for reply in refused:
        assert 400 <= reply.status < 500 and found_in(reply.raw + str(reply.headers).encode(), CANARIES) == []
