"""The shipped policies enter the log once, at the first start; one of them comes into force."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from services.scoring_service.policy import POLICY, ActivatePolicy, DraftPolicy
from shared.contracts.envelope import BEIJING, Actor
from shared.engine.execute import Intention
from shared.engine.runtime import Running

DATA = Path(__file__).parent / "data"
FIRST = "BJ-HR-2025"
IN_FORCE_FROM = datetime(2025, 1, 1, tzinfo=BEIJING)
FOUNDER = Actor("FOUNDING")


@cache
def shipped() -> Mapping[str, dict[str, Any]]:
    """The policies that come with the product, as documents, by version."""
    found = (json.loads(file.read_text(encoding="utf-8")) for file in sorted(DATA.glob("*.json")))
    return {document["version"]: document for document in found}


async def found(running: Running) -> None:
    """Draft the shipped policies and activate the first, unless that is already on record."""
    for version, document in shipped().items():
        done = len(await running.log.read_stream(POLICY.stream(version)))
        now = running.clock.now()
        if not done:
            draft = DraftPolicy(at=now, actor=FOUNDER, version=version, document=document)
            await running.executor.execute(Intention(POLICY, version, draft))
        if version == FIRST and done < len(("drafted", "activated")):
            activate = ActivatePolicy(at=now, actor=FOUNDER, version=version, effective_from=IN_FORCE_FROM)
            await running.executor.execute(Intention(POLICY, version, activate))
