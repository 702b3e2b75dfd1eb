"""The log in memory: for tests of what stands above it. Passes the same contract suite as PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.eventlog.log import (
    Append,
    Appended,
    KeyTaken,
    Recorded,
    StoredAnswer,
    WrongVersion,
    partition_of,
)


class MemoryLog:
    """Everything in lists. One event loop and no awaits inside `append` make it atomic."""

    def __init__(self, partitions: int = 16) -> None:
        self.partitions = partitions
        self._partitions: list[list[Recorded]] = [[] for _ in range(partitions)]
        self._streams: dict[str, list[Recorded]] = {}
        self._answers: dict[tuple[str, str], StoredAnswer] = {}

    async def append(self, append: Append) -> Appended:
        if any((claim.client, claim.key) in self._answers for claim in append.claims):
            raise KeyTaken
        stream = self._streams.get(append.stream, [])
        if len(stream) != append.expected_version:
            raise WrongVersion(append.stream, append.expected_version)
        partition = partition_of(append.routing_key, self.partitions)
        log = self._partitions[partition]
        for entry in append.entries:
            recorded = Recorded(partition, len(log) + 1, append.stream, len(stream) + 1, entry.type, entry.body)
            log.append(recorded)
            stream.append(recorded)
        if stream:
            self._streams[append.stream] = stream
        appended = Appended(partition, stream[-1].position)
        for claim in append.claims:
            self._answers[claim.client, claim.key] = StoredAnswer(claim.fingerprint, claim.answer, appended)
        return appended

    async def read_stream(self, stream: str) -> list[Recorded]:
        return list(self._streams.get(stream, ()))

    async def read_partition(self, partition: int, after: int, limit: int) -> list[Recorded]:
        return self._partitions[partition][after : after + limit]

    async def heads(self) -> list[int]:
        return [len(log) for log in self._partitions]

    async def stored_answer(self, client: str, key: str) -> StoredAnswer | None:
        return self._answers.get((client, key))

    async def fingerprints(self, client: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        return {key: self._answers[client, key].fingerprint for key in keys if (client, key) in self._answers}
