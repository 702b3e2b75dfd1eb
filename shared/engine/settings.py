"""Every setting, once. Read from JIESU_* variables; a wrong one stops the start with one clear line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What an operator can choose. Policy (limits, weights, calendars) is not here: it is versioned data."""

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
    read_wait_seconds: Annotated[float, Field(ge=0, le=30, description="patience for If-Position and neighbours")] = 2.0
    pool_size: Annotated[int, Field(ge=2, le=100, description="database connections a service writes with")] = 8

    @model_validator(mode="after")
    def _only_real_time_in_production(self) -> Self:
        if self.time_scale != 1.0 and self.database_url is not None:
            raise ValueError("JIESU_TIME_SCALE is for the embedded mode; unset JIESU_DATABASE_URL or the scale")
        return self

    @property
    def embedded(self) -> bool:
        return self.database_url is None

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
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "JIESU_" + "_".join(str(part) for part in first["loc"]).upper() if first["loc"] else "settings"
        raise WrongSetting(f"{name}: {first['msg']}") from None
