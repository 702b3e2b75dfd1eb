"""A stranger can verify the record: each event stands under a checkpoint in seconds, with a receipt."""

from __future__ import annotations

from base64 import b64decode
from hashlib import sha256

from shared.eventlog.merkle import consistent
from shared.eventlog.verify import Checkpoint, Policy, check_entries, check_leaves, check_receipt, checkpoint_of
from tests.support.city import City, Reply

TEXT = {"Accept": "text/plain"}
NDJSON = {"Accept": "application/x-ndjson"}


async def policy_of(city: City, service: str = "intake") -> Policy:
    """A stranger's policy: the key of this log, and no witness."""
    key = (await city.get(f"/{service}/v1/log/key", None)).raw.decode()
    return Policy(f"log {key}quorum none\n")


async def covered(city: City, event_id: str, service: str = "intake") -> Reply:
    """The receipt of an event, as soon as there is one."""
    path = f"/{service}/v1/log/proof?event_id={event_id}"
    found: Reply = await city.until(lambda: city.get(path, None, headers=TEXT), lambda reply: reply.status == 200)
    return found


async def checkpoint(city: City, service: str = "intake") -> Checkpoint:
    path = f"/{service}/v1/log/checkpoint"
    found: Reply = await city.until(lambda: city.get(path, None), lambda reply: reply.status == 200)
    return (await policy_of(city, service)).checkpoint(found.raw.decode())


async def test_what_the_201_promises_a_receipt_proves(city: City) -> None:
    promised = (await city.register())["receipt"]
    receipt = await covered(city, promised["event_id"])
    policy, leaf = await policy_of(city), bytes.fromhex(promised["leaf_hash"])
    index, under = check_receipt(receipt.raw.decode(), leaf, policy)
    assert under.origin == "jiesu.example/log/intake" and index < under.size
    as_json = (await city.get(f"/intake/v1/log/proof?event_id={promised['event_id']}", None)).body
    assert (as_json["log_index"], as_json["leaf_hash"]) == (index, promised["leaf_hash"])


async def test_every_log_can_be_verified_from_what_it_gives_out(city: City) -> None:
    case = await city.dispatched()
    await city.handle(case)
    for service in ("intake", "routing", "feedback", "scoring"):
        last = await checkpoint(city, service)
        leaves = (await city.get(f"/{service}/v1/log/leaves")).raw[: 32 * last.size]
        check_leaves(leaves, [last])
        lines: list[bytes] = []
        while len(lines) < last.size:
            path = f"/{service}/v1/log/entries?after={len(lines) - 1}&limit=1000"
            lines += (await city.get(path, headers=NDJSON)).raw.splitlines()
        check_entries(lines[: last.size], leaves)
        assert sha256(b"\x00" + lines[0]).digest() == leaves[:32]


async def test_a_later_checkpoint_continues_an_earlier_one(city: City) -> None:
    await covered(city, (await city.register())["receipt"]["event_id"])
    earlier = await checkpoint(city)
    await covered(city, (await city.register())["receipt"]["event_id"])
    later = await checkpoint(city)
    path = f"/intake/v1/log/consistency?from={earlier.size}&to={later.size}"
    proof = [b64decode(one) for one in (await city.get(path, None)).body["proof"]]
    assert earlier.size < later.size
    assert consistent(earlier.size, later.size, proof, earlier.root, later.root)


async def test_every_published_checkpoint_is_kept(city: City) -> None:
    await covered(city, (await city.register())["receipt"]["event_id"])
    policy = await policy_of(city)
    notes = (await city.get("/intake/v1/log/checkpoints")).body["items"]
    sizes = [checkpoint_of(policy.opened(one["checkpoint"])).size for one in notes]
    assert sizes == sorted(sizes) and sizes[-1] > 0
