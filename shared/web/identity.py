"""What a caller may do. The one place where roles become permissions; everything else is denied.

Two questions are answered here. `require`: may this role do this kind of thing at all (403 if not)? `reach`: whose
things (404 for the others, exactly as if they did not exist)? Roles: domain specification, section 9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from shared.contracts.envelope import Actor
from shared.web.problems import Problem


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
    KEEP_API_KEYS = "keys:keep"


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
        Scope.KEEP_API_KEYS: Reach.ALL,
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
def _granted(roles: tuple[str, ...], narrowed: frozenset[str] | None) -> dict[Scope, tuple[str, Reach]]:
    """What these roles may do: for each scope the role with the widest reach, and that reach."""
    grants: dict[Scope, tuple[str, Reach]] = {}
    for role in roles:
        for scope, reach in PERMISSIONS.get(role, {}).items():
            if narrowed is not None and scope not in narrowed:
                continue
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

    `expires` is when the token does, in seconds since the epoch: what outlasts a request ends then. `scopes` narrows
    what the roles give (an API key made for one purpose); None: all of it.
    """

    sub: str
    roles: tuple[str, ...]
    unit_id: str | None = None
    district: str | None = None
    expires: float = math.inf
    scopes: frozenset[str] | None = None

    def require(self, scope: Scope) -> None:
        """Raises FORBIDDEN unless one of the roles has this scope."""
        if self.scopes is not None and scope not in self.scopes:
            raise Problem("FORBIDDEN", f"this key was not made for {scope}")
        if not self.may(scope):
            able = [role for role, may in PERMISSIONS.items() if scope in may]
            raise Problem("FORBIDDEN", f"this needs {scope}, which {', '.join(able)} may")

    def may(self, scope: Scope) -> bool:
        """Whether the caller has this scope, over whatever."""
        return scope in _granted(self.roles, self.scopes)

    def reach(self, scope: Scope) -> Reach | None:
        """The widest reach that the roles give for a scope; None where they do not give it."""
        return _granted(self.roles, self.scopes)[scope][1] if self.may(scope) else None

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
        return False

    @property
    def outside(self) -> bool:
        """Whether names that are to be hidden are hidden from this caller: only the hotline and the client see them."""
        return self.reach(Scope.READ) not in {Reach.ALL, Reach.OWN}

    def actor(self, scope: Scope) -> Actor:
        """How the caller appears on the record: the role that this was done in."""
        return Actor(_granted(self.roles, self.scopes)[scope][0], self.unit_id, self.sub)


ANYBODY = Principal("anonymous", ())
"""The caller of a public route: no roles, no reach."""
