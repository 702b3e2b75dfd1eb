"""How to reach and trust the brokers of Kafka, and what its topics have to be."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.messaging.cloudevents import topic_of


@dataclass(frozen=True)
class KafkaOptions:
    """How to reach and trust the brokers.

    `prefix` comes before the names of topics and groups (a region, say); `instance` makes group membership static
    (KIP-345).
    """

    bootstrap: str
    security: str = "PLAINTEXT"
    mechanism: str = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    prefix: str = ""
    instance: str | None = None

    def topic(self, service: str) -> str:
        """The one topic of a service."""
        return self.prefix + topic_of(service)

    def membership(self, group: str, life: int = 0) -> dict[str, str]:
        """The arguments that make a consumer a member of a group; another life is another member of the same name."""
        name = f"{self.prefix}jiesu.{group}"
        static = {"group_instance_id": f"{self.instance}.{life}.{group}"} if self.instance else {}
        return {"group_id": name, **static}

    def client(self) -> dict[str, Any]:
        """The arguments that every client takes."""
        asked: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "security_protocol": self.security}
        if self.security.endswith("SSL"):
            asked["ssl_context"] = self._tls()
        if self.security.startswith("SASL"):
            asked |= {"sasl_mechanism": self.mechanism, "sasl_plain_username": self.username}
            asked |= {"sasl_plain_password": self.password}
        return asked

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


@dataclass(frozen=True)
class Topic:
    """One topic as it has to be."""

    name: str
    partitions: int
    replicas: int
    settings: Mapping[str, str]
