"""An authority of a test's own and what it signs, as the PEM files that clients and Kafka's PEM stores read."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Fixed, so that no test asks what time it is.
BEGINS, ENDS = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
PEM = serialization.Encoding.PEM
LOOPBACK = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))])


@dataclass(frozen=True)
class Identity:
    """A certificate and its key; `store` is both in one file, with the chain, as Kafka's PEM key store wants it."""

    certificate: Path
    key: Path
    store: Path


class Authority:
    """Signs certificates; `ca_file` is who trusts it."""

    def __init__(self, folder: Path, name: str = "tests") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._name, self._key = folder, _named(name), ec.generate_private_key(ec.SECP256R1())
        subject = _builder(self._name, self._name, self._key, self._key)
        basic = subject.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        made = basic.add_extension(_usage(signs_certificates=True), critical=True).sign(self._key, hashes.SHA256())
        self._pem = made.public_bytes(PEM)
        self.ca_file = folder / "ca.crt"
        self.ca_file.write_bytes(self._pem)

    def server(self, name: str) -> Identity:
        """For a broker on loopback, which is a client of other brokers too."""
        return self._sign(name, [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH], [LOOPBACK])

    def client(self, name: str) -> Identity:
        """Its CN is the name."""
        return self._sign(name, [ExtendedKeyUsageOID.CLIENT_AUTH], [])

    def _sign(
        self, name: str, purposes: list[x509.ObjectIdentifier], more: list[x509.SubjectAlternativeName]
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_named(name), self._name, key, self._key)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        for extension in more:
            builder = builder.add_extension(extension, critical=False)
        return self._write(name, key, builder.sign(self._key, hashes.SHA256()).public_bytes(PEM))

    def _write(self, name: str, key: ec.EllipticCurvePrivateKey, certificate: bytes) -> Identity:
        clear = serialization.NoEncryption()
        secret = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, clear)
        made = Identity(*(self._folder / f"{name}.{kind}" for kind in ("crt", "key", "pem")))
        contents = (made.certificate, certificate), (made.key, secret), (made.store, secret + certificate + self._pem)
        for file, content in contents:
            file.touch(mode=0o600)
            file.write_bytes(content)
        return made


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), BEGINS, ENDS)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return builder.add_extension(identifier, critical=False).add_extension(signed_by, critical=False)


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
