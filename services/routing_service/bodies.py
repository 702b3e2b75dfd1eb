"""What the commands on an order bring. Contract section 3."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from services.routing_service.cooperating import Level, WhistleKind
from shared.contracts.codes import Urgency
from shared.web.fields import Body, Code, Moment, ShortText, Text, Uuid

Account = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9._@:+-]+$")]
Units = Annotated[tuple[Code, ...], Field(min_length=1, max_length=30)]


class DispatchBody(Body):
    """Which unit, and why when the catalogue does not propose it."""

    unit_id: Code
    reason: ShortText | None = None
    tier: Urgency | None = None
    cc_district: Code | None = None
    co_units: Annotated[tuple[Code, ...], Field(max_length=30)] = ()


class SignManyBody(Body):
    """Which orders."""

    appeal_ids: Annotated[tuple[Uuid, ...], Field(min_length=1, max_length=200)]


class HandOverBody(Body):
    """To whom: an account of the same unit; nobody in particular when left out."""

    officer: Account | None = None


class HandOverManyBody(SignManyBody, HandOverBody):
    """Which orders, to whom."""


class NoBody(Body):
    """Nothing needs to be said."""


class ConsultationBody(Body):
    """Who is asked."""

    participants: Units
    reason: ShortText | None = None


class ConsultationCloseBody(Body):
    """What was agreed, and who gets the order."""

    decision: ShortText
    unit_id: Code


class ObjectBody(Body):
    """Why it is somebody else's: by duty or by ground."""

    ground: Literal["DUTY", "JURISDICTION"]
    reason: ShortText
    proposed_unit: Code | None = None


class UpholdBody(Body):
    """Who gets the order, and why."""

    unit_id: Code
    reason: ShortText


class ReasonBody(Body):
    """Why."""

    reason: ShortText


class ExtensionBody(Body):
    """Until when, and why."""

    until: Moment
    reason: ShortText


class WhistleBody(Body):
    """Which departments are called, and for what."""

    departments: Units
    kind: WhistleKind = "APPEAL"
    reason: ShortText


class ReportInBody(Body):
    """A department comes; or it refuses and says why. Without `number` the last whistle that called it is meant."""

    number: Annotated[int, Field(ge=1, le=1000)] | None = None
    refused: bool = False
    reason: ShortText | None = None


class SubtaskBody(Body):
    """What came of the department's part."""

    solved: bool = True
    result: Text


class WhistleCloseBody(Body):
    """What came of it, and whether it was rightly blown. Without `number` the last one is meant."""

    number: Annotated[int, Field(ge=1, le=1000)] | None = None
    solved: bool = True
    justified: bool = True


class EscalateBody(Body):
    """To whom it goes up, and why."""

    level: Level
    reason: ShortText


class LedgerBody(Body):
    """The plan and the day of the review; whoever agrees may leave them as the unit proposed."""

    plan: Text | None = None
    review_on: Moment | None = None


class LedgerReviewBody(Body):
    """What was found, and when to look again."""

    finding: ShortText
    review_on: Moment


class CatalogueQuery(Body):
    """What is said beside the table of a version: who made it, e.g. which meeting."""

    source: ShortText


class UnitsQuery(Body):
    """What is said beside the table of units: the day for all of it, if it lies ahead."""

    effective_from: Moment | None = None
