"""The tracking code: whoever holds it with the ticket number is the appellant, for that one appeal."""

from __future__ import annotations

import hmac
import tomllib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path

from pydantic import TypeAdapter

from shared.contracts.envelope import Actor
from shared.web.problems import Problem

APPELLANT = Actor("APPELLANT")
TRACKING_CODE = "x-tracking-code"
MOST_COUNTED = 10_000


@dataclass(frozen=True)
class TrackingPolicy:
    """data/tracking.toml"""

    version: str
    wrong_codes: int
    within: timedelta


@cache
def tracking_policy() -> TrackingPolicy:
    """The shipped figures."""
    table = tomllib.loads((Path(__file__).parent / "data" / "tracking.toml").read_text("utf-8"))
    return TypeAdapter(TrackingPolicy).validate_python(table)


def hash_of(tracking_code: str) -> str:
    """What is kept of a tracking code: it has enough randomness for a plain hash."""
    return sha256(tracking_code.strip().upper().encode()).hexdigest()


def shows_the_code(headers: Mapping[str, str], tracking_hash: str) -> bool:
    """Whether a request carries the code of this appeal."""
    code = headers.get(TRACKING_CODE)
    return code is not None and hmac.compare_digest(tracking_hash, hash_of(code))


class WrongCodes:
    """Counts wrong tracking codes by ticket number, for as long as the policy says.

    The right code is let through at any time, or a stranger who counts up ticket numbers could shut residents out;
    160 random bits are not guessed, the count is there so that nobody tries for long.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[str, tuple[datetime, int]] = OrderedDict()

    def exceeded(self, ticket_no: str) -> bool:
        """Whether there were too many already; the time that makes up for them is looked at by `note`."""
        return self._counts.get(ticket_no, (None, 0))[1] > tracking_policy().wrong_codes

    def note(self, ticket_no: str, now: datetime) -> None:
        """Raises TOO_MANY_ATTEMPTS."""
        policy = tracking_policy()
        since, count = self._counts.get(ticket_no, (now, 0))
        if now - since >= policy.within:
            since, count = now, 0
        self._counts[ticket_no] = (since, count + 1)
        self._counts.move_to_end(ticket_no)
        if len(self._counts) > MOST_COUNTED:
            self._counts.popitem(last=False)
        if count >= policy.wrong_codes:
            wait = since + policy.within - now
            raise Problem("TOO_MANY_ATTEMPTS", headers={"Retry-After": str(int(wait.total_seconds()) + 1)})
