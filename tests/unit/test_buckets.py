"""How often anybody may ask, to the request; and whom a request is counted to, whatever it says about itself."""

from __future__ import annotations

import re

import pytest
from starlette.requests import Request

from shared.web import rates
from shared.web.problems import Problem
from shared.web.rates import Addresses, Buckets


class Hand:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def buckets(per_second: float) -> tuple[Buckets, Hand]:
    hand = Hand()
    return Buckets(per_second, hand), hand


def refusal(made: Buckets, name: str = "a") -> Problem:
    with pytest.raises(Problem) as refused:
        made.take(name)
    assert (refused.value.code, refused.value.status) == ("TOO_MANY_REQUESTS", 429)
    return refused.value


LIMITS = [(0.1, 1), (0.5, 1), (1, 2), (2, 4), (10, 20), (100, 200), (3, 6), (5000, 10_000), (1e6, 2_000_000)]


@pytest.mark.parametrize(("per_second", "limit"), LIMITS)
def test_a_full_bucket_holds_what_comes_in_two_seconds_and_at_least_one(per_second: float, limit: int) -> None:
    made, _ = buckets(per_second)
    assert (made.limit, made.left("a")) == (limit, limit)


@pytest.mark.parametrize(("per_second", "limit"), LIMITS[:-2])
def test_a_burst_of_a_full_bucket_passes_and_not_one_more(per_second: float, limit: int) -> None:
    made, _ = buckets(per_second)
    said = [made.take("a") for _ in range(limit)]
    assert [left for left, _ in said] == list(range(limit - 1, -1, -1))
    refusal(made)
    assert made.left("a") == 0


def test_what_is_left_and_when_the_bucket_is_full_again_is_said_each_time() -> None:
    made, hand = buckets(2)
    assert [made.take("a") for _ in range(4)] == [(3, 1), (2, 1), (1, 2), (0, 2)]
    hand.now += 1.0
    assert made.left("a") == 2
    assert made.take("a") == (1, 2)
    hand.now += 60
    assert made.take("a") == (3, 1)


def test_one_comes_in_at_a_time_and_exactly_then() -> None:
    made, hand = buckets(4)
    for _ in range(made.limit):
        made.take("a")
    for _ in range(20):
        hand.now += 0.125
        refusal(made)
        hand.now += 0.125
        assert made.take("a")[0] == 0
        refusal(made)


def test_nothing_is_saved_beyond_a_full_bucket() -> None:
    made, hand = buckets(2)
    made.take("a")
    hand.now += 3600
    assert [made.take("a")[0] for _ in range(4)] == [3, 2, 1, 0]
    refusal(made)


def test_in_the_long_run_exactly_the_rate_passes() -> None:
    made, hand = buckets(8)
    passed = 0
    for _ in range(64 * 60):
        hand.now += 1 / 64
        try:
            made.take("a")
        except Problem:
            continue
        passed += 1
    assert passed == made.limit + 60 * 8 - 1


@pytest.mark.parametrize(
    ("per_second", "after", "seconds"),
    [(2, 0.0, "1"), (0.1, 0.0, "10"), (0.1, 0.5, "10"), (0.1, 4.0, "6"), (0.1, 9.5, "1"), (0.25, 1.0, "3")],
)
def test_whoever_is_refused_is_told_when_the_next_request_passes(per_second: float, after: float, seconds: str) -> None:
    made, hand = buckets(per_second)
    for _ in range(made.limit):
        made.take("a")
    hand.now += after
    assert refusal(made).headers["Retry-After"] == seconds
    hand.now += float(seconds)
    made.take("a")


def test_refusals_do_not_make_anybody_wait_longer() -> None:
    made, hand = buckets(0.5)
    made.take("a")
    for _ in range(100):
        refusal(made)
    hand.now += 2.0
    assert made.take("a")[0] == 0


def test_looking_takes_nothing() -> None:
    made, _ = buckets(1)
    assert [made.left("a") for _ in range(50)] == [2] * 50


def test_everybody_has_a_bucket_of_their_own() -> None:
    made, _ = buckets(1)
    for name in ("a", "b", "", "2001:db8::1"):
        assert [made.take(name)[0] for _ in range(2)] == [1, 0]
        refusal(made, name)


def test_the_least_recently_used_is_forgotten_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "REMEMBERED", 3)
    made, _ = buckets(1)
    for name in ("a", "b", "c", "a", "d"):
        made.take(name)
    assert {name: made.left(name) for name in "abcd"} == {"a": 0, "b": 2, "c": 1, "d": 1}


TRUSTED = "10.0.0.0/8, 2001:db8:1::/48,192.0.2.7"


def of(peer: str | None, *said: str, trusted: str = TRUSTED) -> str:
    headers = [(b"x-forwarded-for", one.encode("latin-1")) for one in said]
    client = (peer, 4711) if peer is not None else None
    return Addresses(trusted).of(Request({"type": "http", "headers": headers, "client": client}))


@pytest.mark.parametrize("trusted", ["", TRUSTED, " , "])
@pytest.mark.parametrize("said", ["198.51.100.1", "10.1.1.1", "127.0.0.1", "x", ""])
def test_what_a_stranger_says_about_itself_counts_for_nothing(trusted: str, said: str) -> None:
    assert of("203.0.113.9", said, trusted=trusted) == "203.0.113.9"


CHAINS = [
    ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
    ("192.0.2.7", ["198.51.100.1"], "198.51.100.1"),
    ("10.0.0.1", [" 198.51.100.1 "], "198.51.100.1"),
    ("10.0.0.1", ["198.51.100.1, 10.0.0.2,10.0.0.3"], "198.51.100.1"),
    ("10.0.0.1", ["198.51.100.1, 203.0.113.5, 10.0.0.2"], "203.0.113.5"),
    ("10.0.0.1", ["127.0.0.1, 10.9.9.9, 203.0.113.5"], "203.0.113.5"),
    ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.1"),
    ("10.0.0.1", [], "10.0.0.1"),
    ("10.0.0.1", [""], "10.0.0.1"),
    ("10.0.0.1", [",, ,"], "10.0.0.1"),
    ("10.0.0.1", [", 198.51.100.1, ,"], "198.51.100.1"),
    ("192.0.2.8", ["198.51.100.1"], "192.0.2.8"),
]


@pytest.mark.parametrize(("peer", "said", "expected"), CHAINS)
def test_the_nearest_address_that_is_no_gateway_of_ours_is_counted(peer: str, said: list[str], expected: str) -> None:
    assert of(peer, *said) == expected


def test_the_header_that_a_gateway_adds_below_a_forged_one_is_read() -> None:
    """HAProxy adds a line of its own at the end, and leaves what the client sent where it is."""
    assert of("10.0.0.1", "127.0.0.1", "203.0.113.5") == "203.0.113.5"
    assert of("10.0.0.1", "127.0.0.1, 127.0.0.2", "203.0.113.5", "10.0.0.2") == "203.0.113.5"


SAME_NET = ["2001:db8:7:1::1", "2001:db8:7:1:ffff::2", "2001:DB8:7:1:0:0:0:3"]


def test_a_household_with_an_ipv6_network_of_its_own_is_one_address() -> None:
    """A /64 is the least that anybody gets: whoever has one could otherwise guess from 2^64 addresses."""
    assert len({of(one) for one in SAME_NET}) == 1
    assert len({of("2001:db8:1::1", one) for one in SAME_NET}) == 1
    assert of("2001:db8:7:2::1") != of(SAME_NET[0])


def test_gateways_may_speak_ipv6_and_clients_ipv4_in_it() -> None:
    assert of("2001:db8:1::5", "198.51.100.1") == "198.51.100.1"
    assert of("2001:db8:1::5", "198.51.100.1, 2001:db8:1:2::3") == "198.51.100.1"
    assert of("::ffff:10.0.0.1", "198.51.100.1") == "198.51.100.1"
    assert of("10.0.0.1", "::ffff:198.51.100.1") == of("198.51.100.1") == "198.51.100.1"
    assert of("::ffff:203.0.113.9", "198.51.100.1") == "203.0.113.9"


JUNK = ["unknown", "_hidden", "<script>", "9" * 5000, "10.0.0", "1e3", "10.0.0.1/8", "\xff\x00"]


@pytest.mark.parametrize("junk", JUNK)
def test_junk_from_a_gateway_is_counted_to_the_gateway(junk: str) -> None:
    assert of("10.0.0.1", junk) == "10.0.0.1"
    assert of("10.0.0.1", f"198.51.100.1, {junk}") == "10.0.0.1"


@pytest.mark.parametrize("said", ["198.51.100.1:4711", "198.51.100.1:4712"])
def test_a_port_behind_an_address_makes_no_other_address(said: str) -> None:
    assert of("10.0.0.1", said) == "198.51.100.1"
    assert of("10.0.0.1", "[2001:db8:7:1::1]:443") == of("2001:db8:7:1::1")


@pytest.mark.parametrize("peer", [None, "", "testclient"])
def test_without_an_address_all_are_one(peer: str | None) -> None:
    assert of(peer, "198.51.100.1") == (peer or "")


@pytest.mark.parametrize("trusted", ["10.0.0.1/8", "gateway", "10.0.0.0/33", "::/129"])
def test_networks_that_are_none_stop_the_start(trusted: str) -> None:
    with pytest.raises(ValueError, match=re.escape(trusted)):
        Addresses(trusted)
