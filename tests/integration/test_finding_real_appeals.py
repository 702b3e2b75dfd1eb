"""Search and likeness on real appeals: exact counts, known duplicates found, different hot topics never mixed up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from services.intake_service.finding import similar
from tests.support.city import City
from tests.support.realdata import real
from tests.support.views import settled

FILES = {"att2": "appeals_labelled.csv", "att3": "appeals_stream.csv", "att4": "appeals_replied.csv"}
TOGETHER = 32
LONG = 300.0
"""Three thousand appeals at once take a while to be followed."""


class Corpus:
    """Real appeals, registered; by the key that duplicate_pairs.csv knows them by."""

    def __init__(self, city: City) -> None:
        self.city, self.texts, self.ids = city, dict[str, dict[str, str]](), dict[str, str]()

    async def register(self, key: str, row: dict[str, str]) -> None:
        body = {"kind": "COMPLAINT", "channel": "IMPORT", "title": row["title"][:200], "content": row["detail"]}
        body |= {"tags": [key[:4]], "appellant": {"anonymous": True}, "title": row["title"][:200] or "无题"}
        reply = await self.city.post("/intake/v1/appeals", body, "AGENT")
        assert reply.status == 201, reply.body
        self.texts[key], self.ids[key] = row, reply.body["appeal_id"]

    async def alike(self, key: str) -> set[str]:
        running = self.city.running["intake"]
        found = await similar(running, self.texts[key]["detail"], None, but=self.ids[key])
        return {item["appeal_id"] for item in found}


@pytest_asyncio.fixture(scope="module")
async def corpus(city: City) -> AsyncIterator[Corpus]:
    corpus = Corpus(city)
    rows: dict[str, dict[str, str]] = {}
    for prefix, name in FILES.items():
        for row in real(name):
            rows |= {f"{prefix}:{row[column]}": row for column in ("appeal_id", "message_no") if row.get(column)}
    wanted = {pair[side] for pair in real("duplicate_pairs.csv") for side in ("a", "b")}
    keys = sorted(wanted | {key for key in rows if key.startswith("att3")})
    slots = asyncio.Semaphore(TOGETHER)

    async def one(key: str) -> None:
        async with slots:
            await corpus.register(key, rows[key])

    await asyncio.gather(*(one(key) for key in keys))
    await settled(city, LONG)
    yield corpus


async def test_known_duplicates_are_found(corpus: Corpus) -> None:
    pairs = [pair for pair in real("duplicate_pairs.csv") if float(pair["cosine"]) >= 0.8]
    found = {key: await corpus.alike(key) for key in {pair["a"] for pair in pairs}}
    hit = [corpus.ids[pair["b"]] in found[pair["a"]] for pair in pairs]
    identical = [met for met, pair in zip(hit, pairs, strict=True) if pair["identical_detail"] == "1"]
    assert all(identical) and len(identical) > 300
    assert sum(hit) / len(hit) >= 0.97


async def test_different_hot_topics_are_never_taken_for_one(corpus: Corpus) -> None:
    topics = {f"att3:{row['message_no']}": row["topic"] for row in real("hot_topic_gold.csv")}
    by_id = {corpus.ids[key]: topic for key, topic in topics.items()}
    for key, topic in topics.items():
        assert {by_id.get(other, topic) for other in await corpus.alike(key)} <= {topic}


async def test_counts_of_a_search_are_exact(corpus: Corpus) -> None:
    async def count(keyword: str) -> int:
        total, cursor = 0, ""
        while True:
            reply = await corpus.city.get(f"/intake/v1/appeals?q={keyword}&tag=att3&limit=200{cursor}")
            assert reply.status == 200, reply.body
            total += len(reply.body["items"])
            if reply.body["next_cursor"] is None:
                return total
            cursor = f"&cursor={reply.body['next_cursor']}"

    expected = {
        row["keyword"]: int(row["rows_matching_title_or_detail"])
        for row in real("keyword_counts.csv")
        if row["file"] == "appeals_stream"
    }
    assert {keyword: await count(keyword) for keyword in expected} == expected
