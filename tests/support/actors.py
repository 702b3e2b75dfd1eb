"""Who stands at a door: people of two neighbourhoods, those who look after the whole city, and those who are nobody."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tests.support.belongings import Side
from tests.support.city import City


@dataclass(frozen=True)
class Actor:
    """Somebody at a door."""

    name: str
    role: str | None = None
    unit: str | None = None
    district: str | None = None
    sub: str = "somebody"
    code: str | None = None
    expired: bool = False

    def headers(self, city: City) -> dict[str, str]:
        shown = {"X-Tracking-Code": self.code} if self.code is not None else {}
        if self.role:
            seconds = -1 if self.expired else 10**8
            shown["Authorization"] = f"Bearer {_token(city, self, seconds)}"
        return shown


@cache
def _token(city: City, actor: Actor, seconds: int) -> str:
    return city.tokens.issue(actor.role or "", actor.sub, seconds, actor.unit, actor.district)


def actors(x: Side, y: Side) -> list[Actor]:
    both = [
        actor
        for name, side in (("X", x), ("Y", y))
        for actor in (
            Actor(f"resident with the code of {name}", code=side.code),
            Actor(f"unit {name}", "STREET_HANDLER", side.lead),
            Actor(f"district {name}", "DISTRICT_COORDINATOR", None, side.district),
            Actor(f"integrator {name}", "INTEGRATOR", sub=side.client),
        )
    ]
    whole = ("AUDITOR", "ANALYST", "AGENT", "HOTLINE_SUPERVISOR", "CALLBACK_OFFICER", "MUNICIPAL_ADMIN")
    return [
        *both,
        Actor("co-unit X", "DEPARTMENT_HANDLER", x.co),
        Actor("called unit X", "DEPARTMENT_HANDLER", x.called),
        Actor("account X", "APPELLANT", sub=x.client),
        Actor("community X", "COMMUNITY_ASSISTANT", x.helper),
        Actor("anonymous"),
        Actor("resident with a wrong code", code="0" * 44),
        Actor("expired", "MUNICIPAL_ADMIN", expired=True),
        Actor("stranger", "ENTERPRISE_HANDLER", "bj-gas"),
        Actor("mass organisation", "MASS_ORG_PARTICIPANT"),
        Actor("gateway", "GATEWAY"),
        *(Actor(role.lower(), role) for role in whole),
    ]
