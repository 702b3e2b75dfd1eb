"""The four services of a city, in the order in which an appeal meets them."""

from __future__ import annotations

from services.feedback_service import api as feedback_api
from services.feedback_service.service import SERVICE as FEEDBACK
from services.intake_service import api as intake_api
from services.intake_service.service import SERVICE as INTAKE
from services.routing_service import api as routing_api
from services.routing_service.service import SERVICE as ROUTING
from services.scoring_service import api as scoring_api
from services.scoring_service.service import SERVICE as SCORING
from shared.engine.runtime import Service
from shared.web.app import Api

SERVICES: tuple[Service, ...] = (INTAKE, ROUTING, FEEDBACK, SCORING)
APIS: dict[str, Api] = {
    "intake": intake_api.API,
    "routing": routing_api.API,
    "feedback": feedback_api.API,
    "scoring": scoring_api.API,
}


def ports(gateway: int = 8000) -> dict[str, int]:
    """Where each service listens when it is a process of its own: 8001 to 8004, after the gateway's port."""
    return {service.name: gateway + number for number, service in enumerate(SERVICES, 1)}
