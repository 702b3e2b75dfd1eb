"""Tokens that prove nothing (B27; RFC 8725), each made from a good one of an issuer, by what is wrong with it."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from tests.support.issuer import NOW, Issuer, Sign, a_key, compact, encoded, signing

RSA, EC, OKP = "k-RS256", "k-ES256", "k-Ed25519"
OTHERS = {algorithm: a_key(algorithm, "k-other") for algorithm in ("RS256", "ES256", "ES384", "Ed25519")}


def hmac_with(secret: bytes) -> Sign:
    return lambda message: hmac.digest(secret, message, "sha256")


def nothing(_: bytes) -> bytes:
    return b""


def unsigned(issuer: Issuer, algorithm: Any, **header: Any) -> str:
    return compact({"alg": algorithm, "kid": EC} | header, issuer.claims(), nothing)


def secret_of(issuer: Issuer, kid: str, form: str) -> bytes:
    """A public key, as somebody could use it for a secret."""
    key: Any = issuer.keys[kid][1]
    if form == "JWK":
        return json.dumps(key.as_dict(private=False)).encode()
    return bytes(key.as_pem(private=False) if form == "PEM" else key.as_der(private=False))


def symmetric(issuer: Issuer, kid: str, form: str, algorithm: str = "HS256") -> str:
    secret = hmac_with(secret_of(issuer, kid, form))
    return compact({"alg": algorithm, "kid": kid, "typ": "JWT"}, issuer.claims(), secret)


def as_if(issuer: Issuer, algorithm: str, kid: str, key: Any = None, **header: Any) -> str:
    """Signed by another key, or by the right one in another way."""
    signer = key or OTHERS[algorithm]
    return compact({"alg": algorithm, "kid": kid} | header, issuer.claims(), signing(algorithm, signer))


def changed(issuer: Issuer, kid: str = EC, **claims: Any) -> str:
    return issuer.token(kid, **claims)


def raw_claims(issuer: Issuer, claims: bytes) -> str:
    algorithm, key = issuer.keys[EC]
    return compact({"alg": algorithm, "kid": EC}, claims, signing(algorithm, key))


def raw_header(issuer: Issuer, header: bytes) -> str:
    algorithm, key = issuer.keys[EC]
    return compact(header, issuer.claims(), signing(algorithm, key))


def parts(issuer: Issuer, kid: str = EC) -> list[str]:
    return issuer.token(kid).split(".")


def good_with(issuer: Issuer, more: str) -> bytes:
    """Good claims in JSON, and something behind them."""
    return json.dumps(issuer.claims()).encode()[:-1] + b"," + more.encode() + b"}"


Make = Callable[[Issuer], str]
BAD: dict[str, Make] = {}
for _none in ("none", "None", "NONE", "nOnE", "", "none ", None, False, 0, [], ["none"], {"alg": "none"}):
    BAD[f"alg {_none!r}"] = lambda issuer, alg=_none: unsigned(issuer, alg)  # type: ignore[misc]
    BAD[f"alg {_none!r}, signed"] = lambda issuer, alg=_none: issuer.token(EC, {"alg": alg})  # type: ignore[misc]
for _kid in (RSA, EC, OKP):
    for _form in ("PEM", "DER", "JWK"):
        BAD[f"HS256 with {_kid} as {_form}"] = lambda issuer, kid=_kid, form=_form: symmetric(issuer, kid, form)  # type: ignore[misc]
for _alg, _kid in (("ES256", RSA), ("RS256", EC), ("PS256", EC), ("Ed25519", EC), ("ES256", OKP), ("RS256", OKP)):
    BAD[f"{_alg} by the name of {_kid}"] = lambda issuer, alg=_alg, kid=_kid: as_if(  # type: ignore[misc]
        issuer, alg, kid, issuer.keys[f"k-{alg}"][1]
    )
    BAD[f"{_alg} said of a signature of {_kid}"] = lambda issuer, alg=_alg, kid=_kid: issuer.token(kid, {"alg": alg})  # type: ignore[misc]
BAD |= {
    "an algorithm that was not listed": lambda issuer: as_if(issuer, "ES384", EC),
    "RS512 where RS256 was published": lambda issuer: as_if(issuer, "RS512", RSA, issuer.keys[RSA][1]),
    "EdDSA, which is not listed": lambda issuer: issuer.token(OKP, {"alg": "EdDSA"}),
    "an algorithm that does not exist": lambda issuer: issuer.token(EC, {"alg": "XS256"}),
    "no algorithm": lambda issuer: raw_header(issuer, b'{"kid":"k-ES256"}'),
}
_JWK = OTHERS["ES256"].as_dict(private=False)
for _name, _value in {
    "jwk": _JWK,
    "jku": "{url}/evil/keys",
    "x5u": "{url}/evil/chain",
    "x5c": ["MIIB"],
    "x5t": "AAAA",
    "x5t#S256": "AAAA",
    "crit": ["exp"],
    "b64": False,
    "zip": "DEF",
    "enc": "A256GCM",
    "cty": "JWT",
    "iss": "{url}",
    "unknown": 1,
}.items():

    def _with(issuer: Issuer, name: str = _name, value: Any = _value) -> dict[str, Any]:
        return {name: value.format(url=issuer.url) if isinstance(value, str) else value}

    BAD[f"{_name}, another's key"] = lambda issuer, more=_with: as_if(issuer, "ES256", "k-other", **more(issuer))  # type: ignore[misc]
    BAD[f"{_name}, the right key"] = lambda issuer, more=_with: issuer.token(EC, more(issuer))  # type: ignore[misc]
BAD |= {
    "crit empty": lambda issuer: issuer.token(EC, {"crit": []}),
    "crit unknown": lambda issuer: issuer.token(EC, {"crit": ["x"], "x": True}),
    "b64 critical": lambda issuer: issuer.token(EC, {"crit": ["b64"], "b64": False}),
    "typ of another kind": lambda issuer: issuer.token(EC, {"typ": "dpop+jwt"}),
    "typ that is no text": lambda issuer: issuer.token(EC, {"typ": ["JWT"]}),
}
KIDS: list[Any] = [
    "../../../../dev/null",
    "/dev/null",
    "k' OR '1'='1",
    "x' UNION SELECT 'k",
    "http://127.0.0.1/evil",
    "",
]
KIDS += [
    "k-ES256\0",
    "\0",
    "K-ES256",
    " k-ES256",
    "k" * 4000,
    "\U0001f511",
    None,
    5,
    0,
    True,
    [],
    [EC],
    {"kid": EC},
    1e9,
]
for _id in KIDS:
    BAD[f"kid {str(_id)[:30]!r} {type(_id).__name__}"] = lambda issuer, kid=_id: as_if(issuer, "ES256", kid)  # type: ignore[misc]
    BAD[f"kid {str(_id)[:30]!r} {type(_id).__name__}, empty secret"] = lambda issuer, kid=_id: compact(  # type: ignore[misc]
        {"alg": "HS256", "kid": kid}, issuer.claims(), hmac_with(b"")
    )
BAD["no kid"] = lambda issuer: raw_header(issuer, b'{"alg":"ES256"}')
TIMES: dict[str, dict[str, Any]] = {
    "expired": {"exp": NOW},
    "expired within what clocks may differ": {"exp": NOW - 59},
    "expired long ago": {"exp": 1},
    "before all time": {"exp": -(2**63)},
    "without an end": {"exp": None},
    "an end in words": {"exp": str(NOW + 3600)},
    "an end in a list": {"exp": [NOW + 3600]},
    "an end that is true": {"exp": True},
    "not yet": {"nbf": NOW + 61},
    "not for a year": {"nbf": NOW + 31_536_000},
    "not before words": {"nbf": "now"},
    "issued tomorrow": {"iat": NOW + 86_400},
    "issued in words": {"iat": "now"},
}
CLAIMS: dict[str, dict[str, Any]] = {
    "no audience": {"aud": None},
    "another audience": {"aud": "other"},
    "other audiences": {"aud": ["other", "jiesu2"]},
    "no audience in a list": {"aud": []},
    "an audience that begins like ours": {"aud": "jiesu-admin"},
    "an audience that ours begins like": {"aud": "jies"},
    "an audience in an object": {"aud": {"jiesu": 1}},
    "no issuer": {"iss": None},
    "another issuer": {"iss": "https://issuer.example"},
    "an issuer in a list": {"iss": ["{url}"]},
    "an issuer with a slash": {"iss": "{url}/"},
    "ourselves": {"iss": "jiesu-embedded"},
    "nobody": {"sub": None},
    "an empty name": {"sub": ""},
    "a number": {"sub": 7},
    "a list of names": {"sub": ["li"]},
    "a name with a NUL": {"sub": "li\0"},
    "no roles": {"roles": None},
    "a role that is not in a list": {"roles": "HOTLINE_SUPERVISOR"},
    "roles in an object": {"roles": {"HOTLINE_SUPERVISOR": True}},
    "roles in a list in a list": {"roles": [["HOTLINE_SUPERVISOR"]]},
    "a role that is a number": {"roles": ["HOTLINE_SUPERVISOR", 1]},
    "a role that is nothing": {"roles": ["HOTLINE_SUPERVISOR", None]},
    "a role without a name": {"roles": ["HOTLINE_SUPERVISOR", ""]},
    "a unit that is a list": {"unit_id": ["bj-water"]},
    "a unit that is an empty list": {"unit_id": [], "roles": ["ENTERPRISE_HANDLER"]},
    "a district that is an empty object": {"district": {}, "roles": ["DISTRICT_COORDINATOR"]},
    "a unit that is nought": {"unit_id": 0, "roles": ["ENTERPRISE_HANDLER"]},
}


def _of_claims(issuer: Issuer, claims: dict[str, Any]) -> str:
    url = json.loads(json.dumps(claims).replace("{url}", issuer.url))
    return changed(issuer, **url)


for _label, _claims in (TIMES | CLAIMS).items():
    BAD[_label] = lambda issuer, claims=_claims: _of_claims(issuer, claims)  # type: ignore[misc]
BAD |= {
    "an end that is no number": lambda issuer: raw_claims(issuer, good_with(issuer, '"exp": NaN')),
    "an end that is infinite": lambda issuer: raw_claims(issuer, good_with(issuer, '"exp": Infinity')),
    "an end beyond all numbers": lambda issuer: raw_claims(issuer, good_with(issuer, f'"exp": 1{"0" * 400}')),
    "an end beyond all floats": lambda issuer: raw_claims(issuer, good_with(issuer, '"exp": 1e999')),
    "an end of too many digits": lambda issuer: raw_claims(issuer, good_with(issuer, f'"exp": {"9" * 5000}')),
    "a second, earlier end": lambda issuer: raw_claims(issuer, good_with(issuer, '"exp": 1')),
    "a second, other audience": lambda issuer: raw_claims(issuer, good_with(issuer, '"aud": "other"')),
    "claims that are a list": lambda issuer: raw_claims(issuer, b"[]"),
    "claims that are a text": lambda issuer: raw_claims(issuer, b'"claims"'),
    "claims that are no JSON": lambda issuer: raw_claims(issuer, b"{'iss': 1}"),
    "claims that are nothing": lambda issuer: raw_claims(issuer, b""),
    "claims that are no UTF-8": lambda issuer: raw_claims(issuer, b'{"iss":"\xff"}'),
    "claims without end": lambda issuer: raw_claims(issuer, b"[" * 4000),
    "claims compressed": lambda issuer: raw_claims(issuer, b"\x1f\x8b\x08\x00"),
    "a header that is a list": lambda issuer: raw_header(issuer, b"[]"),
    "a header without end": lambda issuer: raw_header(issuer, b'{"alg":' + b"[" * 4000),
    "a header with the algorithm twice": lambda issuer: raw_header(
        issuer, b'{"alg":"ES256","kid":"k-ES256","alg":"none"}'
    ),
    "a nested token": lambda issuer: raw_claims(issuer, json.dumps(issuer.token(EC)).encode()),
    "five parts, as an encrypted token has": lambda issuer: ".".join(
        [
            encoded({"alg": "RSA-OAEP", "enc": "A256GCM", "kid": RSA}),
            "AAAA",
            "AAAA",
            "AAAA",
            "AAAA",
        ]
    ),
    "an encrypted token named directly": lambda issuer: ".".join(
        [
            encoded({"alg": "dir", "enc": "A256GCM", "kid": RSA}),
            "",
            "AAAA",
            "AAAA",
            "AAAA",
        ]
    ),
    "no part": lambda issuer: ".",
    "one part": lambda issuer: parts(issuer)[0],
    "two parts": lambda issuer: ".".join(parts(issuer)[:2]),
    "three parts, the last empty": lambda issuer: ".".join(parts(issuer)[:2]) + ".",
    "four parts": lambda issuer: issuer.token(EC) + ".AAAA",
    "padding in the signature": lambda issuer: issuer.token(EC) + "==",
    "padding in the header": lambda issuer: ".".join([parts(issuer)[0] + "=", *parts(issuer)[1:]]),
    "unicode dots": lambda issuer: issuer.token(EC).replace(".", "。"),
    "unicode in the signature": lambda issuer: issuer.token(EC)[:-2] + "签名",
    "a comma and another": lambda issuer: issuer.token(EC) + ", Bearer " + issuer.token(EC),
    "a token after it": lambda issuer: issuer.token(EC) + " " + issuer.token(EC),
    "the signature of another token": lambda issuer: ".".join(
        [*parts(issuer)[:2], issuer.token(EC, sub="wang").split(".")[2]]
    ),
    "the claims of another token": lambda issuer: ".".join(
        [parts(issuer)[0], encoded(issuer.claims(roles=["MUNICIPAL_ADMIN"])), parts(issuer)[2]]
    ),
    "a signature of nought": lambda issuer: ".".join([*parts(issuer)[:2], encoded(bytes(64))]),
    "a signature of r alone": lambda issuer: ".".join([*parts(issuer)[:2], encoded(b"\1" * 32 + bytes(32))]),
    "a signature of the order of the curve": lambda issuer: ".".join([*parts(issuer)[:2], encoded(b"\xff" * 64)]),
    "a signature as DER": lambda issuer: ".".join([*parts(issuer)[:2], encoded(b"\x30\x06\x02\x01\x01\x02\x01\x01")]),
    "a signature cut": lambda issuer: issuer.token(EC)[:-4],
    "a signature cut to half": lambda issuer: issuer.token(RSA)[:-170],
    "a signature too long": lambda issuer: issuer.token(EC) + "AAAA",
    "an Ed25519 signature of nought": lambda issuer: ".".join([*parts(issuer, OKP)[:2], encoded(bytes(64))]),
    "an RSA signature of nought": lambda issuer: ".".join([*parts(issuer, RSA)[:2], encoded(bytes(256))]),
    "an RSA signature of one": lambda issuer: ".".join([*parts(issuer, RSA)[:2], encoded(bytes(255) + b"\1")]),
    "longer than any token": lambda issuer: issuer.token(EC, more="x" * 9000),
    "random text": lambda issuer: sha256(b"x").hexdigest(),
}
