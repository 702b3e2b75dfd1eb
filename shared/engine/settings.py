"""Every setting, once. Read from JIESU_* variables; a wrong one stops the start with one clear line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FilePath, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

KafkaSecurity = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
KafkaMechanism = Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"]
SECRETS_DIR = Path("/run/secrets")
SHORTEST_KEY = 16
_ALGORITHM = "(RS256|RS384|RS512|PS256|PS384|PS512|ES256|ES384|ES512|Ed25519)"
ALGORITHMS = rf"^{_ALGORITHM}(,{_ALGORITHM})*$"
TRUSTED = r"^(https://\S+|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/\S*)?)$"
"""Whoever is on the way to what is believed must not be able to change it."""
WEB, MAIL = r"^https?://\S+$", r"^(smtp|smtps|smtp\+starttls)://[^\s/]+:\d+$"


class Settings(BaseSettings):
    """What an operator can choose. Policy (limits, weights, calendars) is not here: it is versioned data.

    Each is the variable JIESU_<NAME>, or the file /run/secrets/jiesu_<name>.
    """

    model_config = SettingsConfigDict(env_prefix="JIESU_", extra="ignore", frozen=True)

    database_url: Annotated[str | None, Field(description="PostgreSQL >= 15; unset starts the embedded server")] = None
    home: Annotated[Path, Field(description="data and keys of the embedded mode")] = Path(".jiesu")
    keys: Annotated[Path | None, Field(description="directory of the key files; HOME/keys when unset")] = None
    host: Annotated[str, Field(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535, description="port of the city gateway")] = 8000
    partitions: Annotated[int, Field(ge=1, le=1024, description="log partitions, fixed when a log is created")] = 16
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$", description="least severe line")] = "info"
    time_scale: Annotated[float, Field(ge=1, le=1_000_000, description="> 1: faster clock, embedded mode only")] = 1.0
    max_body_bytes: Annotated[int, Field(ge=1024, description="largest JSON body in bytes")] = 256 * 1024
    drain_seconds: Annotated[float, Field(ge=0, le=60, description="from unready to closed, for gateways to see")] = 0
    read_wait_seconds: Annotated[float, Field(ge=0, le=30, description="patience for If-Position and neighbours")] = 2.0
    pool_size: Annotated[int, Field(ge=4, le=100, description="database connections a service writes with")] = 8
    instance: Annotated[str | None, Field(description="name of this process; keeps its Kafka partitions")] = None
    kafka_bootstrap: Annotated[str | None, Field(description="host:port,…; unset: services read the logs")] = None
    kafka_security: Annotated[KafkaSecurity, Field(description="how brokers are spoken to")] = "PLAINTEXT"
    kafka_mechanism: Annotated[KafkaMechanism, Field(description="of SASL")] = "SCRAM-SHA-512"
    kafka_username: Annotated[str | None, Field(description="of SASL")] = None
    kafka_password_file: Annotated[FilePath | None, Field(description="of SASL")] = None
    kafka_ca_file: Annotated[FilePath | None, Field(description="who signs the brokers' certificates")] = None
    kafka_cert_file: Annotated[FilePath | None, Field(description="our certificate, for mutual TLS")] = None
    kafka_key_file: Annotated[FilePath | None, Field(description="its key")] = None
    kafka_prefix: Annotated[str, Field(pattern=r"^[a-z0-9._-]*$", description="before topic and group names")] = ""
    kafka_replicas: Annotated[int, Field(ge=1, le=9, description="copies of every topic that is created")] = 1
    webhook_networks: Annotated[str, Field(description="CIDRs, comma separated, that webhooks may call inside")] = ""
    origin: Annotated[str, Field(pattern=r"^[^\s+]{1,100}$", description="whom what we sign is from")] = "jiesu.example"
    notary: Annotated[Path | None, Field(description="folder of the last checkpoints signed; HOME/notary")] = None
    witnesses: Annotated[FilePath | None, Field(description="C2SP tlog-policy: who must cosign checkpoints")] = None
    oidc_issuer: Annotated[
        str | None, Field(pattern=TRUSTED, description="who signs tokens; unset: our own are taken")
    ] = None
    oidc_jwks: Annotated[str | None, Field(pattern=TRUSTED, description="its keys; unset: as its discovery says")] = (
        None
    )
    oidc_audience: Annotated[str, Field(min_length=1, description="whom its tokens must be for")] = "jiesu"
    oidc_algorithms: Annotated[str, Field(pattern=ALGORITHMS, description="that it may sign with, comma separated")] = (
        "RS256,PS256,ES256,Ed25519"
    )
    trusted_proxies: Annotated[str, Field(description="CIDRs of gateways that say whom they ask for")] = ""
    rate_account: Annotated[float, Field(gt=0, description="requests a second of one account")] = 5000
    rate_address: Annotated[float, Field(gt=0, description="requests a second of one address without an account")] = (
        1000
    )
    rate_failed: Annotated[
        float, Field(gt=0, description="failed attempts to prove who one is, a second, an address")
    ] = 100
    cors_origins: Annotated[str, Field(description="origins of web pages that may ask, comma separated")] = ""
    hosts: Annotated[str, Field(description="Host names that we answer to, comma separated; unset: any")] = ""
    tls_cert_file: Annotated[FilePath | None, Field(description="our certificate chain; unset: a gateway ends TLS")] = (
        None
    )
    tls_key_file: Annotated[FilePath | None, Field(description="its key")] = None
    public_url: Annotated[str, Field(pattern=r"^https?://\S+$", description="where residents' links lead")] = (
        "http://127.0.0.1:8000"
    )
    notify_sms: Annotated[str | None, Field(pattern=WEB, description="URL that takes text messages; unset: none")] = (
        None
    )
    notify_wechat: Annotated[str | None, Field(pattern=WEB, description="URL that takes WeChat messages")] = None
    notify_work: Annotated[str | None, Field(pattern=WEB, description="URL that takes messages to offices")] = None
    notify_key_file: Annotated[FilePath | None, Field(description="secret that messages to these are signed with")] = (
        None
    )
    smtp_url: Annotated[
        str | None, Field(pattern=MAIL, description="smtp://, smtp+starttls:// or smtps://host:port")
    ] = None
    smtp_from: Annotated[str | None, Field(pattern=r"^\S+@\S+$", description="address that mail comes from")] = None
    smtp_username: Annotated[str | None, Field(description="at the mail server")] = None
    smtp_password_file: Annotated[FilePath | None, Field(description="at the mail server")] = None
    stream_limit: Annotated[int, Field(ge=1, le=10_000, description="event streams open at once per process")] = 200
    stream_limit_each: Annotated[int, Field(ge=1, le=10_000, description="of these, by one account")] = 20
    objects: Annotated[str | None, Field(description="folder, or s3://bucket/prefix; unset: HOME/objects")] = None
    s3_endpoint: Annotated[str | None, Field(description="URL of an S3-compatible store")] = None
    s3_region: Annotated[str, Field(description="its region")] = "us-east-1"
    s3_access_key: Annotated[str | None, Field(description="its access key")] = None
    s3_secret_key_file: Annotated[FilePath | None, Field(description="its secret key")] = None
    clamav: Annotated[str | None, Field(pattern=r"^\S+:\d+$", description="host:port of clamd; unset: no scan")] = None
    otlp_endpoint: Annotated[str | None, Field(description="URL of an OpenTelemetry collector; unset: none")] = None

    @model_validator(mode="after")
    def _only_real_time_in_production(self) -> Self:
        if self.time_scale != 1.0 and self.database_url is not None:
            raise ValueError("JIESU_TIME_SCALE is for the embedded mode; unset JIESU_DATABASE_URL or the scale")
        return self

    @model_validator(mode="after")
    def _a_login_where_one_is_needed(self) -> Self:
        if self.kafka_security.startswith("SASL") and not (self.kafka_username and self.kafka_password_file):
            raise ValueError("JIESU_KAFKA_SECURITY needs JIESU_KAFKA_USERNAME and JIESU_KAFKA_PASSWORD_FILE")
        return self

    @model_validator(mode="after")
    def _a_sender_and_a_key_where_they_are_needed(self) -> Self:
        if (self.notify_sms or self.notify_wechat or self.notify_work) and not self.notify_key_file:
            raise ValueError("JIESU_NOTIFY_… needs JIESU_NOTIFY_KEY_FILE: what is sent is signed")
        if self.notify_key_file and len(self.notify_key_file.read_bytes().strip()) < SHORTEST_KEY:
            raise ValueError(f"JIESU_NOTIFY_KEY_FILE holds fewer than {SHORTEST_KEY} bytes; make one of random bytes")
        if self.smtp_url and not self.smtp_from:
            raise ValueError("JIESU_SMTP_URL needs JIESU_SMTP_FROM")
        if self.smtp_username and self.smtp_url and self.smtp_url.startswith("smtp://"):
            raise ValueError("JIESU_SMTP_USERNAME needs smtps:// or smtp+starttls://: a password does not go in clear")
        return self

    @model_validator(mode="after")
    def _a_key_to_its_certificate(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("JIESU_TLS_CERT_FILE and JIESU_TLS_KEY_FILE go together")
        return self

    @property
    def embedded(self) -> bool:
        return self.database_url is None

    @property
    def notary_dir(self) -> Path:
        return self.notary or self.home / "notary"

    @property
    def keys_dir(self) -> Path:
        return self.keys or self.home / "keys"


class WrongSetting(Exception):
    """A setting cannot be used; the message names it and says why."""


def read_settings(**overrides: object) -> Settings:
    """The settings of this process. Raises WrongSetting with one line."""
    known = {f"JIESU_{name}".upper() for name in Settings.model_fields}
    if unknown := sorted(name for name in os.environ if name.startswith("JIESU_") and name not in known):
        raise WrongSetting(f"{unknown[0]}: there is no such setting; there are {', '.join(sorted(known))}")
    try:
        given: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
        return Settings(_secrets_dir=SECRETS_DIR if SECRETS_DIR.is_dir() else None, **given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "JIESU_" + "_".join(str(part) for part in first["loc"]).upper() if first["loc"] else "settings"
        raise WrongSetting(f"{name}: {first['msg']}") from None
