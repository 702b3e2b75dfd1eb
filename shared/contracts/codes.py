"""The closed lists of codes that requests and events share. Fixed by the public contract; extend, never rename."""

from enum import StrEnum


class Kind(StrEnum):
    """诉求类型. Regulation Art 2 names the first five, the list is open."""

    CONSULT = "CONSULT"
    HELP = "HELP"
    COMPLAINT = "COMPLAINT"
    REPORT = "REPORT"
    SUGGESTION = "SUGGESTION"
    PRAISE = "PRAISE"
    OTHER = "OTHER"


class Channel(StrEnum):
    """How the appeal came in."""

    PHONE = "PHONE"
    WEB = "WEB"
    APP = "APP"
    WECHAT = "WECHAT"
    SMS = "SMS"
    EMAIL = "EMAIL"
    COUNTER = "COUNTER"
    MEDIA = "MEDIA"
    QR_MAP = "QR_MAP"
    COMMUNITY_APP = "COMMUNITY_APP"
    GRID = "GRID"
    OPEN311 = "OPEN311"
    IMPORT = "IMPORT"


class Urgency(StrEnum):
    """The tier of the handling limit (办理时限)."""

    EMERGENCY = "EMERGENCY"
    LIFELINE = "LIFELINE"
    GENERAL = "GENERAL"
    COMPLEX = "COMPLEX"


class Datum(StrEnum):
    """Which datum a coordinate was given in."""

    WGS84 = "WGS84"
    GCJ02 = "GCJ02"
    BD09 = "BD09"


class AppellantType(StrEnum):
    """诉求人: natural person, enterprise or other organisation. Regulation Art 2."""

    PERSON = "PERSON"
    ENTERPRISE = "ENTERPRISE"
    ORGANISATION = "ORGANISATION"


class Route(StrEnum):
    """The six special routes of Regulation Art 11 ¶3, and referral to another region or a central body (Art 21-22)."""

    EMERGENCY = "EMERGENCY"
    STATUTORY_CHANNEL = "STATUTORY_CHANNEL"
    REPEATED = "REPEATED"
    SECRET_OR_PRIVACY = "SECRET_OR_PRIVACY"
    OUT_OF_DUTY = "OUT_OF_DUTY"
    UNLAWFUL = "UNLAWFUL"
    EXTERNAL_REGION = "EXTERNAL_REGION"
    CENTRAL_UNIT = "CENTRAL_UNIT"


REFERRALS = frozenset({Route.EXTERNAL_REGION, Route.CENTRAL_UNIT})
"""Routes that hand an appeal on to somebody who must be named."""


class CaseState(StrEnum):
    """The life of an appeal (domain state machine). REGISTERED to WITHDRAWN, over all four services."""

    REGISTERED = "REGISTERED"
    ANSWERED = "ANSWERED"
    REDIRECTED = "REDIRECTED"
    MERGED = "MERGED"
    CONSULTING = "CONSULTING"
    DISPATCHED = "DISPATCHED"
    OBJECTED = "OBJECTED"
    SIGNED = "SIGNED"
    HANDLING = "HANDLING"
    ON_LEDGER = "ON_LEDGER"
    FEEDBACK_DONE = "FEEDBACK_DONE"
    CALLBACK_DUE = "CALLBACK_DUE"
    REWORK = "REWORK"
    CLOSED = "CLOSED"
    ARCHIVED = "ARCHIVED"
    WITHDRAWN = "WITHDRAWN"


ENDED = frozenset(
    {
        CaseState.ANSWERED,
        CaseState.REDIRECTED,
        CaseState.MERGED,
        CaseState.CLOSED,
        CaseState.ARCHIVED,
        CaseState.WITHDRAWN,
    }
)
"""States that nothing but archiving follows."""


class Measure(StrEnum):
    """What is done with a person's data. PIPL Art 47."""

    RESTRICT = "RESTRICT"
    RESTORE = "RESTORE"
    ERASE = "ERASE"


class League(StrEnum):
    """Who competes with whom."""

    DISTRICT = "DISTRICT"
    STREET_TOWN = "STREET_TOWN"
    MUNICIPAL_DEPT = "MUNICIPAL_DEPT"
    PUBLIC_ENTERPRISE = "PUBLIC_ENTERPRISE"


class UnitType(StrEnum):
    """Kinds of organisation. A community assists and is never the lead unit (Regulation Art 17)."""

    DISTRICT = "DISTRICT"
    STREET_TOWN = "STREET_TOWN"
    MUNICIPAL_DEPT = "MUNICIPAL_DEPT"
    PUBLIC_ENTERPRISE = "PUBLIC_ENTERPRISE"
    COMMUNITY = "COMMUNITY"


class Basis(StrEnum):
    """全口径 (all) or without the excluded appeals (剔除后)."""

    ALL = "ALL"
    ASSESSED = "ASSESSED"


class ContactOutcome(StrEnum):
    """What came of trying to reach the appellant."""

    REACHED = "REACHED"
    NO_ANSWER = "NO_ANSWER"
    WRONG_NUMBER = "WRONG_NUMBER"
    REFUSED = "REFUSED"


class FeedbackKind(StrEnum):
    """两种反馈, first axis."""

    PROGRESS = "PROGRESS"
    RESULT = "RESULT"


class Recipient(StrEnum):
    """两种反馈, second axis: to the citizen and to the hotline. Regulation Art 15(3)."""

    APPELLANT = "APPELLANT"
    HOTLINE = "HOTLINE"


class FeedbackOutcome(StrEnum):
    """What the unit says came of it."""

    RESOLVED = "RESOLVED"
    EXPLAINED = "EXPLAINED"
    UNRESOLVED = "UNRESOLVED"


class Satisfaction(StrEnum):
    """满意 / 基本满意 / 不满意 / 未表态."""

    SATISFIED = "SATISFIED"
    BASICALLY_SATISFIED = "BASICALLY_SATISFIED"
    DISSATISFIED = "DISSATISFIED"
    NOT_STATED = "NOT_STATED"


class CallbackMethod(StrEnum):
    """How the hotline asked. Regulation Art 23."""

    PHONE = "PHONE"
    SMS = "SMS"
    WEB = "WEB"


class EvidenceRole(StrEnum):
    """What a file shows that a unit puts to its answer."""

    BEFORE = "BEFORE"
    AFTER = "AFTER"
    DOCUMENT = "DOCUMENT"


class Finding(StrEnum):
    """What is noticed about an answer: for whoever reviews it, never a penalty by itself."""

    SHORT = "SHORT"
    TEMPLATE = "TEMPLATE"
    EVIDENCE_MISSING = "EVIDENCE_MISSING"
    EVIDENCE_REUSED = "EVIDENCE_REUSED"
    EVIDENCE_CHANGED = "EVIDENCE_CHANGED"


class Question(StrEnum):
    """What a callback asks, in the order of the three rates."""

    CONTACTED = "CONTACTED"
    RESOLVED = "RESOLVED"
    SATISFACTION = "SATISFACTION"


class Via(StrEnum):
    """The way in which an appellant's words reached us."""

    TRACKING = "TRACKING"
    LINK = "LINK"
    SMS = "SMS"
    EMAIL = "EMAIL"
    WECHAT = "WECHAT"


class Audience(StrEnum):
    """Who is told."""

    APPELLANT = "APPELLANT"
    UNIT = "UNIT"
    HOTLINE = "HOTLINE"


class NoticeChannel(StrEnum):
    """The way a notice takes. WORK: whatever officers are reached by."""

    SMS = "SMS"
    EMAIL = "EMAIL"
    WECHAT = "WECHAT"
    WORK = "WORK"


class Language(StrEnum):
    """BCP 47 primary tags."""

    ZH = "zh"
    EN = "en"


class LeadKind(StrEnum):
    """What the six violations of Regulation Art 35 may look like in the record."""

    IMPOSSIBLE_CONTACT = "IMPOSSIBLE_CONTACT"
    TEMPLATE_ANSWER = "TEMPLATE_ANSWER"
    EVIDENCE_REUSED = "EVIDENCE_REUSED"
    EVIDENCE_CHANGED = "EVIDENCE_CHANGED"
    REOPENED_AFTER_CLOSING = "REOPENED_AFTER_CLOSING"
    NEGATIVE_AFTER_CLOSING = "NEGATIVE_AFTER_CLOSING"
    CALLBACK_BY_CONCERNED_UNIT = "CALLBACK_BY_CONCERNED_UNIT"
    RECHECK_DISAGREES = "RECHECK_DISAGREES"
    CLOSING_BURST = "CLOSING_BURST"
