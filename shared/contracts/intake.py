"""What intake can say has happened: an appeal arrived, and how it left our hands."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from shared.contracts.codes import AppellantType, Channel, Datum, Kind, Measure, Route, Satisfaction, Urgency
from shared.contracts.envelope import Instant, Payload, Personal, ServiceName


class _Intake(Payload):
    OF: ClassVar[ServiceName] = "intake"


class Place(BaseModel):
    """Where it is. District and township are division codes; everything finer can point at a home and is sealed.

    `found_by` is what told them. `outside_city`: the point lies in no district. `point_district`: the point lies in
    another district than the one that was named.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    district: str | None = None
    township: str | None = None
    address: Personal | None = None
    site: Personal | None = None
    longitude: Personal | None = None
    latitude: Personal | None = None
    datum: Datum | None = None
    community: Personal | None = None
    found_by: Literal["GIVEN", "ADDRESS", "POINT"] | None = None
    outside_city: bool | None = None
    point_district: str | None = None


class Appellant(BaseModel):
    """Who appeals. `ref` is a pseudonym, the same for the same contact; `key` seals what this appeal says."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    ref: str
    key: str
    type: AppellantType = AppellantType.PERSON
    confidential: bool = False
    anonymous: bool = False
    name: Personal | None = None
    phone: Personal | None = None
    email: Personal | None = None
    wechat: Personal | None = None


class Alert(BaseModel):
    """A sign of danger: for 119, 110, 120 or 122 at once, or on the watch list. `words` are those of the rule."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    level: Literal["EMERGENCY", "WATCH"]
    category: str
    hand_over: str | None = None
    words: tuple[str, ...] = ()


class Triage(BaseModel):
    """What the words of an appeal were taken for, by which version of the rules. A proposal: people decide."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: str
    kind: Kind | None = None
    kind_words: tuple[str, ...] = ()
    urgency: Urgency | None = None
    urgency_words: tuple[str, ...] = ()
    alerts: tuple[Alert, ...] = ()


class AppealRegistered(_Intake):
    """受理. Regulation Art 10: time, matter and contact are on record."""

    ticket_no: str
    kind: Kind
    channel: Channel
    title: Personal | None = None
    content: Personal
    raised_at: Instant
    category_path: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    urgency: Urgency | None = None
    place: Place
    appellant: Appellant
    tracking_hash: str
    client: str
    source_ref: str | None = None
    relates_to: str | None = None
    triage: Triage | None = None


class AppealAnsweredDirectly(_Intake):
    """A consultation was answered at once. Art 11 ¶1."""

    text: Personal
    knowledge_id: str | None = None
    knowledge_edition: int | None = None


class AppealRedirected(_Intake):
    """One of the six special routes was taken. Art 11 ¶3."""

    route: Route
    reason: Personal
    target: str | None = None


class AppealMerged(_Intake):
    """并单: the same appellant, the same matter, nothing new. Art 11 ¶3(3)."""

    into: str
    reason: Personal


class RiskAlertRaised(_Intake):
    """A sign of an emergency or risk, reported at once. Regulation Art 29. Without words a person saw it."""

    level: Literal["EMERGENCY", "WATCH"]
    category: str
    hand_over: str | None = None
    words: tuple[str, ...] = ()
    rules_version: str | None = None
    reason: Personal | None = None


class AppealSupplemented(_Intake):
    """The appellant, or an agent for them, added something. It reaches whoever is dealing with the appeal."""

    text: Personal
    number: int


class AppealUrged(_Intake):
    """催办: the appellant asks again. It attaches to the order that there is and never makes a new one."""

    number: int
    at: Instant
    reason: Personal | None = None


class AppealTagged(_Intake):
    """The tags that the appeal has from now on."""

    tags: tuple[str, ...]


class AppealLinked(_Intake):
    """Other people's same problem: each keeps the right to an answer; the cluster is looked at as one."""

    cluster: str
    reason: Personal | None = None


class AttachmentAdded(_Intake):
    """A file belongs to the appeal. `sha256` is that of the sealed object, as it is stored; `sent_sha256` that of
    the file as it came. `longitude` and `latitude` are what the photo said of where it was taken (WGS-84); the stored
    file does not say it any more.
    """

    number: int
    kind: Literal["PHOTO", "VOICE", "VIDEO", "DOCUMENT"]
    media_type: str
    ending: str
    bytes: int
    object: str
    sha256: str
    scan: Literal["CLEAN", "PENDING", "UNSCANNED"]
    sent_sha256: Personal
    name: Personal | None = None
    longitude: Personal | None = None
    latitude: Personal | None = None


class AttachmentScanned(_Intake):
    """The scanner, away when the file came, has looked at it. Only a clean file is shown to anybody."""

    number: int
    verdict: Literal["CLEAN", "INFECTED", "UNSCANNABLE"]


class AppellantWrote(_Intake):
    """The appellant wrote to whoever is dealing with the appeal. `attachments`: numbers of files of the appeal."""

    text: Personal
    number: int
    attachments: tuple[int, ...] = ()


class AppealEvaluated(_Intake):
    """评价: the appellant says how it went. Regulation Art 8. A later one replaces an earlier one, and both stand."""

    number: int
    resolved: bool | None = None
    satisfaction: Satisfaction
    process_satisfaction: Satisfaction | None = None
    comment: Personal | None = None


class ParticipantInvited(_Intake):
    """群团组织 and others who help: they may read the appeal and contribute to it, and are not scored. Art 6."""

    unit_id: str
    reason: Personal | None = None


class ParticipantContributed(_Intake):
    """What a participant did or says."""

    unit_id: str
    text: Personal
    number: int


class MaliciousUseFlagged(_Intake):
    """A supervisor thinks that this use of the line was malicious. Art 9, 37: it never blocks anybody."""

    evidence: Personal


class AppellantRevealed(_Intake):
    """Somebody was shown the appellant's name and contact, for a purpose."""

    purpose: Personal


class AppellantMeasureRequested(_Intake):
    """One officer asks for a measure; another one must confirm in time. `by` is the account that asked."""

    measure: Measure
    ground: str
    by: str
    appeals: tuple[str, ...] = ()
    good_until: Instant | None = None


class AppellantRestricted(_Intake):
    """The person's data, in these appeals, is kept and used no more. PIPL Art 47."""

    appeals: tuple[str, ...] = ()


class AppellantRestored(_Intake):
    """The restriction is lifted."""

    appeals: tuple[str, ...] = ()


class AppellantErased(_Intake):
    """The keys of these appeals are destroyed: nobody can read any more what the person said in them."""

    appeals: tuple[str, ...]
    keys: tuple[str, ...]


class KnowledgeText(BaseModel):
    """What an entry of the knowledge base says, whose it is, and until when it holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    title: str
    text: str
    owner_unit: str
    keywords: tuple[str, ...] = ()
    valid_until: Instant | None = None


class KnowledgePublished(_Intake):
    """An entry may be told to residents; each edition replaces the one before. Regulation Art 31."""

    text: KnowledgeText
    edition: int


class KnowledgeExpired(_Intake):
    """The validity has ended; the owner must look at the entry."""

    owner_unit: str


class KnowledgeRetired(_Intake):
    """Nobody is told this any more."""


class RowProblem(BaseModel):
    """What is wrong with a row of a bulk file, never what it says. A `warning` row was registered all the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    row: int
    source_ref: str | None = None
    code: str
    message: str | None = None
    warning: bool = False


class ImportStarted(_Intake):
    """A bulk file came in: how it is to be read, and where it is kept, sealed, until it has been."""

    form: Literal["CSV", "NDJSON", "XLSX"]
    charset: str | None = None
    columns: dict[str, str]
    constants: dict[str, str]
    all_or_none: bool
    object: str
    bytes: int
    sha256: str


class ImportAdvanced(_Intake):
    """All rows up to this one were dealt with. Counts are totals; `problems` are those since the last such event."""

    row: int
    total: int
    registered: int
    already_there: int
    refused: int
    warned: int
    problems: tuple[RowProblem, ...] = ()


class ImportEnded(_Intake):
    """REFUSED: some rows were not acceptable and it was to be all or none. FAILED: the file cannot be read."""

    outcome: Literal["DONE", "REFUSED", "FAILED"]
    reason: str | None = None


class AppealWithdrawn(_Intake):
    """The appellant took it back."""

    reason: Personal | None = None


class AppealClosed(_Intake):
    """The callback has been recorded (or declared invalid) and nothing more is to be done."""

    round: int
    resolved: bool | None = None


class AppealReopened(_Intake):
    """The appellant said within the window that it is not solved: it goes round again under its own number."""

    round: int
