"""What routing can say has happened: somebody became responsible, by which rule, until when."""

from __future__ import annotations

from typing import ClassVar, Literal

from shared.contracts.codes import CaseState, UnitType, Urgency
from shared.contracts.derivation import Derivation
from shared.contracts.duties import Candidate
from shared.contracts.envelope import Instant, Payload, Personal, ServiceName


class _Routing(Payload):
    OF: ClassVar[ServiceName] = "routing"


class OrderProposed(_Routing):
    """An appeal was read against catalogue and place. With no candidate good enough a dispatcher decides."""

    ticket_no: str
    kind: str
    subject_key: str
    identity_hidden: bool
    registered_at: Instant
    candidates: tuple[Candidate, ...]
    automatic: bool
    hold_until: Instant | None = None
    dispatch_due_at: Instant | None = None
    urgency: Urgency | None = None
    category: str | None = None
    reachable: bool | None = None
    catalogue_version: str | None = None
    model_version: str | None = None
    limits_version: str


class OrderDispatched(_Routing):
    """派单. Art 12: straight to the unit, and a copy to the district when that unit is a street or town.

    `co_units` handle it together with the lead unit (协办, 双派单). `remind_at`: when the unit is reminded by itself;
    `escalate_at`: when it goes up if it is still open, from the first dispatch on.
    """

    ticket_no: str
    subject_key: str
    identity_hidden: bool
    registered_at: Instant
    lead_unit: str
    lead_unit_name: str
    unit_type: UnitType
    cc_district: str | None = None
    tier: Urgency
    round: int
    due_at: Instant
    sign_due_at: Instant
    due_derivation: Derivation
    remind_at: Instant | None = None
    escalate_at: Instant | None = None
    co_units: tuple[str, ...] = ()
    by_hand: bool
    reason: Personal | None = None
    catalogue_version: str | None = None
    rule_id: str | None = None
    model_version: str | None = None
    category: str | None = None
    reachable: bool | None = None


class DispatchOverdue(_Routing):
    """Nobody has decided in time where the appeal goes. Art 11 ¶2: immediately."""

    due_at: Instant


class OrderSigned(_Routing):
    """签收 by the receiving unit."""

    unit_id: str
    round: int


class ConsultationOpened(_Routing):
    """派单会商: who is responsible is talked over before dispatch. Art 12 ¶2."""

    participants: tuple[str, ...]
    reason: Personal | None = None


class ConsultationClosed(_Routing):
    """What the talk came to; the dispatch follows."""

    unit_id: str
    decision: Personal


class OrderObjected(_Routing):
    """派单异议: the unit says that the duty or the ground is another's. It stays responsible meanwhile. Art 12, 14."""

    unit_id: str
    ground: Literal["DUTY", "JURISDICTION"]
    reason: Personal
    proposed_unit: str | None = None
    round: int
    review_due_at: Instant


class ObjectionUpheld(_Routing):
    """The reviewer agrees; the order goes to another unit."""

    unit_id: str
    to_unit: str
    reason: Personal
    round: int
    late: bool


class ObjectionRejected(_Routing):
    """The reviewer does not agree: whoever received it first keeps it (首接负责). Art 14."""

    unit_id: str
    reason: Personal
    returns_to: CaseState
    round: int
    late: bool


class ObjectionReviewOverdue(_Routing):
    """The reviewer has not decided in time. The unit stays responsible, and its clock runs on."""

    unit_id: str
    review_due_at: Instant
    round: int


class ExtensionRequested(_Routing):
    """延期: the unit asks for more time, lawfully and with a reason. Art 15(2)."""

    unit_id: str
    until: Instant
    reason: Personal
    round: int
    answer_due_at: Instant | None = None
    by: str | None = None


class ExtensionGranted(_Routing):
    """The due time moves; the one before stays on the record. Appellant and hotline are told."""

    unit_id: str
    due_at: Instant
    previous_due_at: Instant
    round: int
    policy: str


class ExtensionDenied(_Routing):
    """The due time stays."""

    unit_id: str
    reason: Personal
    round: int


class ExtensionAnswerOverdue(_Routing):
    """Nobody has answered in time whether there is more time. The due time stays as it is."""

    unit_id: str
    answer_due_at: Instant
    round: int


class DueTimeCorrected(_Routing):
    """The official working days of a provisional due time became known; it was worked out again."""

    due_at: Instant
    previous_due_at: Instant
    due_derivation: Derivation
    round: int


class OrderReminded(_Routing):
    """催办: the unit is reminded, by the clock (part of its time is over) or because the appellant urged."""

    unit_id: str
    round: int
    ground: Literal["CLOCK", "APPELLANT"]
    urges: int
    due_at: Instant


class OrderHandedOver(_Routing):
    """Within the unit another officer has the order now; None: nobody in particular. Accounts, never names."""

    unit_id: str
    officer: str | None = None
    previous_officer: str | None = None


class WhistleBlown(_Routing):
    """街乡吹哨: the street calls departments to work together on the spot. Art 16."""

    number: int
    kind: Literal["APPEAL", "KEY_TASK", "ENFORCEMENT", "EMERGENCY"]
    departments: tuple[str, ...]
    reason: Personal
    report_due_at: Instant


class DepartmentReported(_Routing):
    """部门报到. `late` is measured, not judged; a refusal is visible and enters the assessment. Art 16, 33."""

    number: int
    unit_id: str
    refused: bool
    reason: Personal | None = None
    late: bool


class ReportInOverdue(_Routing):
    """The time to report in is over, and these departments have not said a word. Art 16, 33."""

    number: int
    absent: tuple[str, ...]
    report_due_at: Instant


class SubtaskClosed(_Routing):
    """A department has done its part, or says why not."""

    number: int
    unit_id: str
    solved: bool
    result: Personal


class WhistleClosed(_Routing):
    """The street ends the whistle; both sides are assessed. Art 33."""

    number: int
    justified: bool
    solved: bool
    absent: tuple[str, ...]


class OrderEscalated(_Routing):
    """提级: beyond the unit's power, so a higher level must study it. Art 20."""

    level: Literal["DISTRICT", "MUNICIPAL", "LINE_AUTHORITY"]
    reason: Personal


class SupervisionOpened(_Routing):
    """督办: the handling itself is watched."""

    reason: Personal


class LadderStepTaken(_Routing):
    """督办 or 提级 by itself: urged so often, unsigned so long, came back so often, open for so long."""

    step: Literal["SUPERVISION", "ESCALATION"]
    ground: Literal["URGED", "NOT_SIGNED", "ROUNDS", "LONG_OPEN"]
    level: Literal["DISTRICT", "MUNICIPAL"] | None = None
    unit_id: str
    round: int


class LedgerRequested(_Routing):
    """挂账 asked for: it cannot be solved yet, for objective reasons, and there is a plan. Art 15(2)."""

    unit_id: str
    plan: Personal
    review_on: Instant
    by: str
    round: int


class LedgerOpened(_Routing):
    """Another person than the one who asked agreed: the handling clock rests, with so many seconds left.

    `plan` where it is another than was asked for.
    """

    plan: Personal | None = None
    review_on: Instant
    seconds_left: int
    round: int


class LedgerReviewed(_Routing):
    """Looked at on its day: it stays on the ledger until the next review."""

    finding: Personal
    review_on: Instant
    round: int


class LedgerClosed(_Routing):
    """Off the ledger: the rest of the handling time runs from here, and with it the unit's reminder and the ladder."""

    reason: Personal
    due_at: Instant
    round: int
    remind_at: Instant | None = None
    escalate_at: Instant | None = None


class LedgerReviewOverdue(_Routing):
    """The day of the review has passed and nobody has looked."""

    review_on: Instant
    round: int


class SignOverdue(_Routing):
    """The unit had not signed when the signing limit passed; unsigned at `supervise_at`, it is supervised."""

    unit_id: str
    round: int
    due_at: Instant
    supervise_at: Instant | None = None


class HandlingCompleted(_Routing):
    """Both results were in before the limit: the clock of this round has stopped."""

    round: int


class HandlingLimitExpired(_Routing):
    """The handling limit passed; the hotline must now call back. Art 23."""

    unit_id: str
    round: int
    due_at: Instant


class OrderEnded(_Routing):
    """Nothing is left to do for the unit: the appeal was closed, withdrawn, answered, redirected or merged."""

    outcome: CaseState
