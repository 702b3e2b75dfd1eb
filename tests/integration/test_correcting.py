"""A due time that reaches into a year whose holidays nobody knows yet: flagged, and corrected when they are known."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import date, datetime, timedelta

from services.routing_service.calendar import official
from services.routing_service.correcting import correct_due_times
from services.routing_service.limits import Limit, shipped_limits
from services.routing_service.order import ORDER, DispatchAsProposed, Propose
from shared.contracts.envelope import BEIJING
from shared.contracts.routing import OrderProposed
from shared.engine.execute import Intention
from tests.support.city import City
from tests.support.orders import CANDIDATE
from tests.support.views import settled

AT = datetime(2030, 12, 30, 9, 0, tzinfo=BEIJING)
SOCIAL = "劳动和社会保障"
UNKNOWN_YET = replace(shipped_limits(), categories={SOCIAL: Limit("P5D", "WORKING", "test")})
KNOWN = replace(UNKNOWN_YET, works=lambda day: (official(day)[0] and day != date(2031, 1, 1), True))
"""As UNKNOWN_YET, with the notice of 2031: New Year's Day is a holiday."""


async def dispatched(city: City, limits: object) -> None:
    facts = OrderProposed(
        ticket_no="t", kind="HELP", subject_key="k", identity_hidden=False, registered_at=AT, candidates=(CANDIDATE,),
        automatic=True, category=SOCIAL, limits_version="x",
    )  # fmt: skip
    for command in (Propose(at=AT, facts=facts), DispatchAsProposed(at=AT, limits=limits)):  # type: ignore[arg-type]
        await city.running["routing"].executor.execute(Intention(ORDER, "order-1", command))
    await settled(city)


async def test_a_provisional_due_time_is_flagged_and_corrected_once_the_days_are_known(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
) -> None:
    async with new_city() as city:
        city.clock.set(AT)
        routing = city.running["routing"]
        await dispatched(city, UNKNOWN_YET)
        order = (await city.get("/routing/v1/orders/order-1")).body
        assert (order["provisional"], order["due_at"]) == (True, "2031-01-06T09:00:00.000+08:00")
        assert order["due_derivation"]["category"] == SOCIAL and order["due_derivation"]["calendar"] == "WORKING"
        assert await correct_due_times(routing, UNKNOWN_YET) == 0
        assert await correct_due_times(routing, KNOWN) == 1
        await settled(city)
        order = (await city.get("/routing/v1/orders/order-1")).body
        assert (order["provisional"], order["due_at"]) == (False, "2031-01-07T09:00:00.000+08:00")
        assert await correct_due_times(routing, KNOWN) == 0
        city.clock.set(datetime(2031, 1, 6, 9, 0, tzinfo=BEIJING) + timedelta(minutes=1))
        await settled(city)
        assert (await city.get("/routing/v1/orders/order-1")).body["state"] == "DISPATCHED"
        city.clock.set(datetime(2031, 1, 7, 9, 0, tzinfo=BEIJING))
        await city.until(
            lambda: city.get("/routing/v1/orders/order-1"), lambda reply: reply.body["state"] == "CALLBACK_DUE"
        )
