"""Where a city answers: one gateway, or a port per service. The running city of a home leaves it in a file there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.city import ports
from shared.engine.settings import Settings

ADDRESS_FILE = "address"
Addresses = Callable[[str], str]
"""Gives the URL of a path such as /intake/v1/appeals."""


def gateway(url: str) -> Addresses:
    """Everything in one place."""
    return lambda path: url.rstrip("/") + path


def write_addresses(settings: Settings, where: Mapping[str, int]) -> None:
    """Leave a line per service, for the commands that talk to the city of this home."""
    lines = [f"{name} http://{settings.host}:{port}\n" for name, port in where.items()]
    (settings.home / ADDRESS_FILE).write_text("".join(lines))


def addresses(settings: Settings, url: str | None) -> Addresses:
    """The city at a URL; without one, the city of this home."""
    file = settings.home / ADDRESS_FILE
    if url is not None or not file.exists():
        return gateway(url or f"http://{settings.host}:{settings.port}")
    bases = dict(line.split(" ", 1) for line in file.read_text().splitlines())
    return lambda path: bases[path.split("/", 2)[1]] + path


def everywhere(settings: Settings, split: bool) -> dict[str, str]:
    """The base URL of every service, for people to click on."""
    each = ports(settings.port).items()
    return {name: f"http://{settings.host}:{port if split else settings.port}" for name, port in each}
