"""Scoring, put together: 三率考核, every promise measured."""

from services.scoring_service.founding import found
from services.scoring_service.reactions import DEADLINES, REACTIONS
from services.scoring_service.restating import keep_restating
from services.scoring_service.views import VIEWS
from shared.engine.runtime import Service

SERVICE = Service(
    "scoring",
    REACTIONS,
    VIEWS,
    DEADLINES,
    decides_on=("lives", "units"),
    founding=found,
    work={"restating": keep_restating},
)
