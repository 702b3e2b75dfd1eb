"""The first policy enters the log once, at the first start."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from services.scoring_service.policy import POLICY, ActivatePolicy, DraftPolicy, read_policy
from shared.contracts.envelope import BEIJING, Actor
from shared.engine.execute import Intention
from shared.engine.runtime import Running

SHIPPED = Path(__file__).parent / "data" / "BJ-HR-2025.json"
IN_FORCE_FROM = datetime(2025, 1, 1, tzinfo=BEIJING)
DRAFTED_AND_ACTIVATED = 2
FOUNDER = Actor("FOUNDING")


async def found(running: Running) -> None:
    """Draft and activate the shipped policy, unless that is already on record."""
    document: dict[str, Any] = json.loads(SHIPPED.read_text(encoding="utf-8"))
    version = read_policy(document).version
    steps_done = len(await running.log.read_stream(POLICY.stream(version)))
    if steps_done == DRAFTED_AND_ACTIVATED:
        return
    now = running.clock.now()
    draft = DraftPolicy(at=now, actor=FOUNDER, version=version, document=document)
    if not steps_done:
        await running.executor.execute(Intention(POLICY, version, draft))
    activate = ActivatePolicy(at=now, actor=FOUNDER, version=version, effective_from=IN_FORCE_FROM)
    await running.executor.execute(Intention(POLICY, version, activate))
