"""Contact data: who is the same person, and how much of a number may be shown.

The pseudonym of an appellant is a keyed blind index of the phone number or e-mail, so that the same person is
recognised without storing anything that could be guessed back: eleven digits hashed without a key are found in minutes.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

_NOT_DIGITS = re.compile(r"[^0-9]")
_COUNTRY = re.compile(r"^86(?=1[3-9][0-9]{9}$)")


def pseudonym(key: bytes, phone: str | None, email: str | None) -> str | None:
    """The appellant's ref, or None when there is nothing to recognise them by."""
    if phone and (number := _national(phone)):  # zeros alone are no number, and whoever types them not one person
        contact = "phone:" + number
    elif email:
        contact = "email:" + email.strip().lower()
    else:
        return None
    return "p" + hmac.digest(key, contact.encode(), sha256)[:16].hex()


def _national(phone: str) -> str:
    """The digits as dialled inside the country, without trunk zero: +86 10 …, 0086 10 … and 010-… are one number."""
    if phone.startswith(("+86", "0086")):
        phone = phone.partition("86")[2]
    return _COUNTRY.sub("", _NOT_DIGITS.sub("", phone).lstrip("0"))


def masked_phone(phone: str | None) -> str | None:
    """Three leading digits and the last two (domain specification, section 10)."""
    if not phone or phone.startswith("["):  # erased or restricted
        return phone
    return phone[:3] + "*" * max(len(phone) - 5, 3) + phone[-2:] if len(phone) > 7 else "*" * len(phone)


def masked_name(name: str | None) -> str | None:
    """The family name alone."""
    return name if not name or name.startswith("[") else name[0] + "*" * min(len(name) - 1, 3)
