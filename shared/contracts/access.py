"""Events of intake about access itself: keys of integrators, and what two officers decide together."""

from __future__ import annotations

from typing import ClassVar, Literal

from shared.contracts.envelope import Instant, Payload, ServiceName

OperationKind = Literal["BULK_UNMASK", "KEY_ROTATION", "REPLAY"]
"""What one officer asks for and another approves before it is done, beside measures about a person's data."""


class _Access(Payload):
    OF: ClassVar[ServiceName] = "intake"
    INTERNAL: ClassVar[bool] = True


class ApiKeyIssued(_Access):
    """A client got a key. `digest` is the SHA-256 of its 32 random bytes in hexadecimal; the key itself is nowhere."""

    key_id: str
    digest: str
    role: str
    unit_id: str | None = None
    district: str | None = None
    scopes: tuple[str, ...] = ()
    expires_at: Instant


class ApiKeyRevoked(_Access):
    """A key is good for nothing any more."""

    key_id: str


class OperationRequested(_Access):
    """An officer asks for what takes two. `target` says what exactly, without personal texts."""

    kind: OperationKind
    target: str
    ground: str
    by: str


class OperationApproved(_Access):
    """A second officer has looked at it."""

    by: str
    good_until: Instant


class OperationCarriedOut(_Access):
    """It was done, once."""

    count: int


class MasterKeyDestroyed(_Access):
    """The key that a rotation had replaced is gone: what only it opens, in old backups too, is gone with it."""

    key_id: str
