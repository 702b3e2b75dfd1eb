"""Routing, put together: 精准派单, the right desk the first time."""

from services.routing_service.correcting import correct_for_ever
from services.routing_service.founding import found
from services.routing_service.reactions import DEADLINES, REACTIONS
from services.routing_service.views import VIEWS
from shared.engine.runtime import Service

SERVICE = Service("routing", REACTIONS, VIEWS, DEADLINES, founding=found, work={"correcting": correct_for_ever})
