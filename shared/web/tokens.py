"""Bearer tokens: those of the embedded mode, which we sign ourselves, and what every JSON Web Token must be."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from shared.engine.clock import Clock
from shared.web.identity import PERMISSIONS, Principal
from shared.web.problems import Problem

ISSUER = "jiesu-embedded"
AUDIENCE = "jiesu"
ALGORITHM = "Ed25519"
LEEWAY_SECONDS = 60
"""The issuer's clock may be ahead of ours (RFC 7519, 4.1.5 and 4.1.6); `exp` is held to exactly."""
LONGEST_TOKEN = 8192
REMEMBERED_TOKENS = 4096


class Remembered:
    """Tokens that were found good, until they expire: checking a signature costs more than our work."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, Principal] = OrderedDict()

    def known(self, token: str, now: float) -> Principal | None:
        """The caller; None for a token that is to be checked. Raises UNAUTHENTICATED for one that has expired."""
        found = self._seen.get(token)
        if found is not None and found.expires <= now:
            raise Problem("UNAUTHENTICATED")
        return found

    def keep(self, token: str, principal: Principal, now: float) -> Principal:
        """Remember a caller; the oldest is forgotten. Raises UNAUTHENTICATED for a token that has expired."""
        self._seen[token] = principal
        while len(self._seen) > REMEMBERED_TOKENS:
            self._seen.popitem(last=False)
        if principal.expires <= now:
            raise Problem("UNAUTHENTICATED")
        return principal

    def forget(self) -> None:
        """Keys have changed: check everything anew."""
        self._seen.clear()


class Tokens:
    """Issues and checks the local bearer tokens of the embedded mode (EdDSA, RFC 8037)."""

    def __init__(self, seed: bytes, clock: Clock) -> None:
        self._key = OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(seed))
        self._clock = clock
        self._remembered = Remembered()

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
        if known := self._remembered.known(token, now):
            return known
        return self._remembered.keep(token, checked(token, self._key, [ALGORITHM], ISSUER, AUDIENCE, now), now)


def checked(
    token: str, key: OKPKey | KeySet, algorithms: list[str], issuer: str, audience: str, now: float
) -> Principal:
    """The caller that a token names (RFC 7519; RFC 8725: one issuer, one audience, a list of algorithms, no more).

    Raises UNAUTHENTICATED. That it has not expired is for the caller to see: a remembered token may.
    """
    if len(token) > LONGEST_TOKEN:
        raise Problem("UNAUTHENTICATED")
    try:
        decoded = jwt.decode(token, key, algorithms=algorithms)
        required: Any = {
            "iss": {"essential": True, "value": issuer},
            "aud": {"essential": True, "value": audience},
            "sub": {"essential": True},
            "exp": {"essential": True},
        }
        jwt.JWTClaimsRegistry(now=lambda: int(now), leeway=LEEWAY_SECONDS, **required).validate(decoded.claims)
        return _principal(decoded.claims)
    except (JoseError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise Problem("UNAUTHENTICATED") from None


def _principal(claims: dict[str, Any]) -> Principal:
    roles, unit_id, district = claims["roles"], claims.get("unit_id"), claims.get("district")
    texts = [claims["sub"], *roles, *(one for one in (unit_id, district) if one is not None)]
    if not isinstance(roles, list) or not all(isinstance(text, str) and text and text.isprintable() for text in texts):
        raise ValueError("claims")
    return Principal(claims["sub"], tuple(roles), unit_id, district, float(claims["exp"]))
