"""The API keys of one client: issued, two at once while a new one is brought into use, and revoked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.contracts.access import ApiKeyIssued, ApiKeyRevoked
from shared.contracts.envelope import Payload
from shared.engine.decider import Command, Decider, NotYours, Refused


@dataclass(frozen=True)
class Credential:
    """When each key of the client expires; revoked ones are gone."""

    keys: tuple[tuple[str, datetime], ...] = ()

    def live(self, now: datetime) -> list[str]:
        """The keys that are good at a moment."""
        return [key_id for key_id, expires in self.keys if expires > now]


@dataclass(frozen=True, kw_only=True)
class Issue(Command):
    """Give the client a key."""

    key: ApiKeyIssued
    most_live: int


@dataclass(frozen=True, kw_only=True)
class Revoke(Command):
    """Take a key back."""

    key_id: str


def decide(command: Command, credential: Credential) -> Sequence[Payload]:
    match command:
        case Issue():
            if command.key.expires_at <= command.at:
                raise Refused("ALREADY_EXPIRED", "expires_at lies in the past")
            if len(credential.live(command.at)) >= command.most_live:
                raise Refused("KEYS_ENOUGH", f"this client has {command.most_live} keys that are good; revoke one")
            return [command.key]
        case Revoke():
            if command.key_id not in dict(credential.keys):
                raise NotYours
            return [ApiKeyRevoked(key_id=command.key_id)]
    raise TypeError(command)


def evolve(credential: Credential, event: Payload) -> Credential:
    match event:
        case ApiKeyIssued():
            return replace(credential, keys=(*credential.keys, (event.key_id, event.expires_at)))
        case ApiKeyRevoked():
            return replace(credential, keys=tuple(one for one in credential.keys if one[0] != event.key_id))
    return credential


CREDENTIAL = Decider("credential", Credential(), decide, evolve)
