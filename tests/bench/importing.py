"""Bulk intake: rows registered per second, beside reading them only, and beside registering them one by one."""

from __future__ import annotations

import io
import time
from functools import partial

from services.city import SERVICES
from services.intake_service.bulk import Import
from services.intake_service.commands import REGISTER
from services.intake_service.policy import import_policy
from services.intake_service.registration import AppealBody
from services.intake_service.rows import CSV, rows_of
from services.intake_service.worker import Record, Worker
from shared.contracts.envelope import Actor
from shared.contracts.intake import ImportStarted
from shared.engine.execute import Loaded
from shared.engine.runtime import Role, Running, running_city
from shared.engine.settings import Settings
from shared.web.bodies import fingerprint, parse_body
from shared.web.commands import Call
from shared.web.identity import Principal, Scope
from shared.web.preconditions import Preconditions
from tests.support.city import SECRETS

ROWS, ONE_BY_ONE = 10_000, 1_000
TEXT = "小区停水两天了，自来水公司电话一直打不通，家里有老人和孩子，请尽快派人来处理。"
FILE = "content,source_ref,phone\n" + "".join(f"{TEXT}第{n}号,r{n},{13_000_000_000 + n}\n" for n in range(ROWS))
AGENT = Actor("AGENT", None, "bench")


async def import_rates(url: str, settings: Settings) -> dict[str, float]:
    """Rows per second."""
    file = io.BytesIO(FILE.encode())
    rates = {"read and mapped only": _rate(ROWS, lambda: [row.body for row in rows_of(file, CSV, None, None, POLICY)])}
    async with running_city(SERVICES, url, settings, SECRETS, roles={Role.API}) as city:
        intake = city["intake"]
        started = time.perf_counter()
        for row in list(rows_of(file, CSV, None, None, POLICY))[:ONE_BY_ONE]:
            await _registered(intake, row.body)
        rates["one by one"] = ONE_BY_ONE / (time.perf_counter() - started)
        started = time.perf_counter()
        facts = ImportStarted(form=CSV, columns={}, constants={}, all_or_none=False, object="", bytes=0, sha256="")
        record = Record(intake, "bench", Loaded(Import("RUNNING", facts)), AGENT._replace(sub="bulk"))
        await Worker(intake, record, facts, file).done()
        rates["imported"] = ROWS / (time.perf_counter() - started)
        assert record.loaded.state.reached.registered == ROWS
    return rates


POLICY = import_policy()


def _rate(count: int, work: object) -> float:
    started = time.perf_counter()
    work()  # type: ignore[operator]
    return count / (time.perf_counter() - started)


async def _registered(intake: Running, raw: bytes) -> None:
    body, same = parse_body(raw, AppealBody), partial(fingerprint, "POST", REGISTER.path_in("intake"), raw)
    call = Call(intake, Principal("bench", ("AGENT",)), Scope.REGISTER, "", body, intake.clock.now(), {}, same)
    await REGISTER.carry_out(call, Preconditions(None, None))
