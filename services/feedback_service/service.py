"""Feedback, put together: 两种反馈 and 回访, answered twice and asked afterwards."""

from services.feedback_service.bursts import keep_watching
from services.feedback_service.notifiers import keep_telling
from services.feedback_service.reactions import DEADLINES, REACTIONS
from services.feedback_service.views import VIEWS
from shared.engine.runtime import Service

SERVICE = Service(
    "feedback",
    REACTIONS,
    VIEWS,
    DEADLINES,
    decides_on=("evidence",),
    work={"telling": keep_telling, "watching": keep_watching},
)
