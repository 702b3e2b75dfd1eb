"""What a gateway is handed in the promises about gateways, and a place at which nobody takes it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from shared.engine.gateways import Message

PATIENT, IMPATIENT = 30.0, 0.2
TEXT = "【12345】市自来水集团已就诉求20261123-0000001答复。\n.第二行以点开头\n..\n谢谢"
SMS = Message("7a322699-133d-5065-8036-2b0f0fbd5602", "SMS", "13800000000", "20261123-0000001", TEXT, "zh")
MAIL = replace(SMS, channel="EMAIL", to="wang@example.cn")


@asynccontextmanager
async def nobody_listens() -> AsyncIterator[int]:
    """A port that is taken and at which nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
