"""Who is asking, and what they may do. The one place where roles become permissions; everything else is denied.

Two questions are answered here. `require`: may this role do this kind of thing at all (403 if not)? `reach`: whose
things (404 for the others, exactly as if they did not exist)? Roles: domain specification, section 9.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from starlette.requests import Request

from shared.contracts.envelope import Actor
from shared.engine.clock import Clock
from shared.web.problems import Problem

ISSUER = "jiesu-embedded"
AUDIENCE = "jiesu"
ALGORITHM = "Ed25519"
LEEWAY_SECONDS = 60
"""The issuer's clock may be ahead of ours (RFC 7519, 4.1.5 and 4.1.6); `exp` is held to exactly."""
LONGEST_TOKEN = 8192
REMEMBERED_TOKENS = 4096


class Scope(StrEnum):
    """What can be done. Every route names one; a route without one does not start."""

    PUBLIC = "public"
    REGISTER = "appeal:register"
    TRIAGE = "appeal:triage"
    WITHDRAW = "appeal:withdraw"
    READ = "appeal:read"
    DISPATCH = "order:dispatch"
    HANDLE = "order:handle"
    CALL_BACK = "callback:record"
    KEEP_UNITS = "unit:write"
    DRAFT_CATALOGUE = "catalogue:draft"
    KEEP_CATALOGUE = "catalogue:publish"
    KEEP_CLASSIFIERS = "classifier:keep"
    KEEP_POLICY = "policy:write"
    READ_SCORES = "score:read"
    READ_REFERENCE = "reference:read"
    SUBSCRIBE = "events:subscribe"
    KEEP_WEBHOOKS = "webhooks:keep"
    REVEAL = "appellants:reveal"
    KEEP_PERSONS = "appellants:keep"
    KEEP_KNOWLEDGE = "knowledge:keep"
    CONTRIBUTE = "appeal:contribute"
    REVIEW = "order:review"
    SUPERVISE = "order:supervise"
    KEEP_LEDGER = "order:ledger"
    ATTACH = "appeal:attach"
    INVESTIGATE = "leads:close"
    BRING_REPLIES = "replies:bring"
    CLAIM = "exclusion:claim"
    JUDGE = "exclusion:judge"
    KEEP_STANDINGS = "standings:keep"
    CLOSE_PERIODS = "period:close"
    AUDIT = "log:read"


class Reach(StrEnum):
    """Whose appeals."""

    ALL = "ALL"
    DISTRICT = "DISTRICT"
    UNIT = "UNIT"
    OWN = "OWN"


_HOTLINE_READ = {Scope.READ: Reach.ALL, Scope.READ_REFERENCE: Reach.ALL, Scope.READ_SCORES: Reach.ALL}
_FOR_THE_APPELLANT = dict.fromkeys(
    (Scope.REGISTER, Scope.TRIAGE, Scope.WITHDRAW, Scope.REVEAL, Scope.ATTACH), Reach.ALL
)
_HANDLER = {
    Scope.READ: Reach.UNIT,
    Scope.REVEAL: Reach.UNIT,
    Scope.HANDLE: Reach.UNIT,
    Scope.ATTACH: Reach.UNIT,
    Scope.KEEP_LEDGER: Reach.UNIT,
    Scope.SUPERVISE: Reach.UNIT,
    Scope.KEEP_KNOWLEDGE: Reach.UNIT,
    Scope.CLAIM: Reach.UNIT,
    Scope.SUBSCRIBE: Reach.UNIT,
    Scope.READ_REFERENCE: Reach.ALL,
    Scope.READ_SCORES: Reach.ALL,
}

_PARTICIPANT = {Scope.READ: Reach.UNIT, Scope.CONTRIBUTE: Reach.UNIT, Scope.READ_REFERENCE: Reach.ALL}

PERMISSIONS: dict[str, dict[Scope, Reach]] = {
    "AGENT": _HOTLINE_READ | _FOR_THE_APPELLANT,
    "HOTLINE_SUPERVISOR": _HOTLINE_READ
    | _FOR_THE_APPELLANT
    | {
        Scope.DISPATCH: Reach.ALL,
        Scope.SUPERVISE: Reach.ALL,
        Scope.INVESTIGATE: Reach.ALL,
        Scope.KEEP_PERSONS: Reach.ALL,
        Scope.KEEP_KNOWLEDGE: Reach.ALL,
        Scope.DRAFT_CATALOGUE: Reach.ALL,
        Scope.KEEP_CATALOGUE: Reach.ALL,
    },
    "DISPATCHER": _HOTLINE_READ
    | {Scope.DISPATCH: Reach.ALL, Scope.TRIAGE: Reach.ALL, Scope.DRAFT_CATALOGUE: Reach.ALL},
    "CALLBACK_OFFICER": _HOTLINE_READ | dict.fromkeys((Scope.CALL_BACK, Scope.REVEAL, Scope.ATTACH), Reach.ALL),
    "MUNICIPAL_ADMIN": _HOTLINE_READ
    | {
        Scope.DISPATCH: Reach.ALL,
        Scope.REVIEW: Reach.ALL,
        Scope.SUPERVISE: Reach.ALL,
        Scope.INVESTIGATE: Reach.ALL,
        Scope.KEEP_LEDGER: Reach.ALL,
        Scope.KEEP_UNITS: Reach.ALL,
        Scope.DRAFT_CATALOGUE: Reach.ALL,
        Scope.KEEP_CATALOGUE: Reach.ALL,
        Scope.KEEP_CLASSIFIERS: Reach.ALL,
        Scope.KEEP_POLICY: Reach.ALL,
        Scope.JUDGE: Reach.ALL,
        Scope.KEEP_STANDINGS: Reach.ALL,
        Scope.CLOSE_PERIODS: Reach.ALL,
        Scope.SUBSCRIBE: Reach.ALL,
        Scope.KEEP_WEBHOOKS: Reach.ALL,
        Scope.KEEP_PERSONS: Reach.ALL,
        Scope.KEEP_KNOWLEDGE: Reach.ALL,
    },
    "DISTRICT_COORDINATOR": {
        Scope.READ: Reach.DISTRICT,
        Scope.DISPATCH: Reach.DISTRICT,
        Scope.HANDLE: Reach.UNIT,
        Scope.CLAIM: Reach.UNIT,
        Scope.SUPERVISE: Reach.DISTRICT,
        Scope.KEEP_LEDGER: Reach.DISTRICT,
        Scope.READ_REFERENCE: Reach.ALL,
        Scope.READ_SCORES: Reach.ALL,
        Scope.SUBSCRIBE: Reach.DISTRICT,
    },
    "STREET_HANDLER": _HANDLER,
    "DEPARTMENT_HANDLER": _HANDLER,
    "ENTERPRISE_HANDLER": _HANDLER,
    "COMMUNITY_ASSISTANT": _PARTICIPANT,
    "MASS_ORG_PARTICIPANT": _PARTICIPANT,
    "AUDITOR": _HOTLINE_READ | dict.fromkeys((Scope.SUBSCRIBE, Scope.INVESTIGATE, Scope.AUDIT), Reach.ALL),
    "ANALYST": {Scope.READ_REFERENCE: Reach.ALL, Scope.READ_SCORES: Reach.ALL},
    "GATEWAY": {Scope.BRING_REPLIES: Reach.ALL},
    "INTEGRATOR": {
        Scope.REGISTER: Reach.OWN,
        Scope.ATTACH: Reach.OWN,
        Scope.READ: Reach.OWN,
        Scope.READ_REFERENCE: Reach.ALL,
        Scope.SUBSCRIBE: Reach.OWN,
    },
    "APPELLANT": dict.fromkeys((Scope.REGISTER, Scope.READ, Scope.WITHDRAW, Scope.ATTACH), Reach.OWN),
}
_WIDEST = [Reach.ALL, Reach.DISTRICT, Reach.UNIT, Reach.OWN]


@cache
def granted(roles: tuple[str, ...]) -> dict[Scope, tuple[str, Reach]]:
    """What these roles may do: for each scope the role with the widest reach, and that reach."""
    grants: dict[Scope, tuple[str, Reach]] = {}
    for role in roles:
        for scope, reach in PERMISSIONS.get(role, {}).items():
            if scope not in grants or _WIDEST.index(reach) < _WIDEST.index(grants[scope][1]):
                grants[scope] = (role, reach)
    return grants


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who an appeal belongs to, as far as scope is concerned. `hidden`: units are not told who the appellant is."""

    units: frozenset[str] = frozenset()
    district: str | None = None
    client: str | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. `sub` is an account and also the client of its idempotency keys.

    `expires` is when the token does, in seconds since the epoch: what outlasts a request ends then.
    """

    sub: str
    roles: tuple[str, ...]
    unit_id: str | None = None
    district: str | None = None
    expires: float = math.inf

    def require(self, scope: Scope) -> None:
        """Raises FORBIDDEN unless one of the roles has this scope."""
        if scope not in granted(self.roles):
            able = [role for role, may in PERMISSIONS.items() if scope in may]
            raise Problem("FORBIDDEN", f"this needs {scope}, which {', '.join(able)} may")

    def reach(self, scope: Scope) -> Reach:
        """The widest reach that the roles give for a scope."""
        return granted(self.roles)[scope][1]

    def can_see(self, scope: Scope, owned: Ownership) -> bool:
        """Whether a thing lies within the caller's reach for a scope."""
        match self.reach(scope):
            case Reach.ALL:
                return True
            case Reach.DISTRICT:
                mine = {self.district, self.unit_id} - {None}
                return not mine.isdisjoint({owned.district, *owned.units})
            case Reach.UNIT:
                return self.unit_id is not None and self.unit_id in owned.units
            case Reach.OWN:
                return owned.client == self.sub

    @property
    def outside(self) -> bool:
        """Whether names that are to be hidden are hidden from this caller: they are from units and districts."""
        return self.reach(Scope.READ) in {Reach.UNIT, Reach.DISTRICT}

    def actor(self, scope: Scope) -> Actor:
        """How the caller appears on the record: the role that this was done in."""
        return Actor(granted(self.roles)[scope][0], self.unit_id, self.sub)


ANYBODY = Principal("anonymous", ())
"""The caller of a public route: no roles, no reach."""


class Tokens:
    """Issues and checks the local bearer tokens of the embedded mode (EdDSA, RFC 8037)."""

    def __init__(self, seed: bytes, clock: Clock) -> None:
        self._key = _key(seed)
        self._clock = clock
        self._seen: OrderedDict[str, tuple[float, Principal]] = OrderedDict()

    def issue(self, role: str, sub: str, seconds: int, unit_id: str | None = None, district: str | None = None) -> str:
        """A signed token for one role. Raises ValueError for an unknown role."""
        if role not in PERMISSIONS:
            raise ValueError(f"unknown role {role}; one of {', '.join(PERMISSIONS)}")
        now = int(self._clock.now().timestamp())
        claims: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "sub": sub, "roles": [role], "iat": now}
        claims |= {"exp": now + seconds} | ({"unit_id": unit_id} if unit_id else {})
        claims |= {"district": district} if district else {}
        return jwt.encode({"alg": ALGORITHM}, claims, self._key, algorithms=[ALGORITHM])

    def principal(self, token: str) -> Principal:
        """The caller behind a token. Raises UNAUTHENTICATED."""
        now = self._clock.now().timestamp()
        if (seen := self._seen.get(token)) is None:
            seen = self._check(token, now)
            self._seen[token] = seen
            while len(self._seen) > REMEMBERED_TOKENS:
                self._seen.popitem(last=False)
        if seen[0] <= now:
            raise Problem("UNAUTHENTICATED")
        return seen[1]

    def _check(self, token: str, now: float) -> tuple[float, Principal]:
        if len(token) > LONGEST_TOKEN:
            raise Problem("UNAUTHENTICATED")
        try:
            decoded = jwt.decode(token, self._key, algorithms=[ALGORITHM])
            required: Any = {
                "iss": {"essential": True, "value": ISSUER},
                "aud": {"essential": True, "value": AUDIENCE},
                "sub": {"essential": True},
                "exp": {"essential": True},
            }
            jwt.JWTClaimsRegistry(now=lambda: int(now), leeway=LEEWAY_SECONDS, **required).validate(decoded.claims)
            return float(decoded.claims["exp"]), _principal(decoded.claims)
        except (JoseError, ValueError, KeyError, TypeError):
            raise Problem("UNAUTHENTICATED") from None


def identify(request: Request, scope: Scope, tokens: Tokens) -> Principal:
    """The caller, with a role that has this scope. Raises UNAUTHENTICATED or FORBIDDEN."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise Problem("UNAUTHENTICATED")
    principal = tokens.principal(token)
    principal.require(scope)
    return principal


def _principal(claims: dict[str, Any]) -> Principal:
    roles, unit_id, district = claims["roles"], claims.get("unit_id"), claims.get("district")
    texts = [claims["sub"], *roles, *filter(None, (unit_id, district))]
    if not isinstance(roles, list) or not all(isinstance(text, str) and text for text in texts):
        raise ValueError("claims")
    return Principal(claims["sub"], tuple(roles), unit_id, district, float(claims["exp"]))


def _key(seed: bytes) -> OKPKey:
    return OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(seed))
