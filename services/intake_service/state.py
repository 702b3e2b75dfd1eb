"""What intake remembers of an appeal in order to decide, and how events change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.contracts.codes import ENDED, CaseState, Kind
from shared.contracts.envelope import Payload
from shared.contracts.intake import (
    AppealAnsweredDirectly,
    AppealClosed,
    AppealEvaluated,
    AppealLinked,
    AppealMerged,
    AppealRedirected,
    AppealRegistered,
    AppealReopened,
    AppealSupplemented,
    AppealTagged,
    AppealUrged,
    AppealWithdrawn,
    AppellantWrote,
    AttachmentAdded,
    AttachmentScanned,
    ParticipantContributed,
    ParticipantInvited,
)
from shared.engine.decider import IllegalTransition


@dataclass(frozen=True)
class Appeal:
    """`state` is None before registration. `scans`: for each attachment whether it is clean, as far as is known."""

    state: CaseState | None = None
    ticket_no: str = ""
    kind: Kind = Kind.OTHER
    appellant_ref: str = ""
    subject_key: str = ""
    client: str = ""
    tracking_hash: str = ""
    tags: tuple[str, ...] = ()
    cluster: str | None = None
    supplements: int = 0
    urges: int = 0
    urged_at: datetime | None = None
    messages: int = 0
    evaluations: int = 0
    scans: Mapping[int, str] = field(default_factory=dict)
    participants: frozenset[str] = frozenset()
    contributions: int = 0

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    def must_be_open(self, command: str, seen: CaseState) -> None:
        """New facts after the end make a new appeal that relates to this one (state machine, row 25)."""
        if self.ended or seen in ENDED:
            raise IllegalTransition(command, str(self.state if self.ended else seen))


_ENDS: dict[type[Payload], CaseState] = {
    AppealAnsweredDirectly: CaseState.ANSWERED,
    AppealRedirected: CaseState.REDIRECTED,
    AppealMerged: CaseState.MERGED,
    AppealWithdrawn: CaseState.WITHDRAWN,
    AppealClosed: CaseState.CLOSED,
}


def evolve(appeal: Appeal, event: Payload) -> Appeal:
    if isinstance(event, AppealRegistered):
        return Appeal(
            state=CaseState.REGISTERED,
            ticket_no=event.ticket_no,
            kind=event.kind,
            appellant_ref=event.appellant.ref,
            subject_key=event.appellant.key,
            client=event.client,
            tracking_hash=event.tracking_hash,
            tags=event.tags,
        )
    if isinstance(event, AppealReopened):
        return replace(appeal, state=CaseState.REGISTERED)
    if type(event) in _ENDS:
        return replace(appeal, state=_ENDS[type(event)])
    return _along_the_way(appeal, event)


def _along_the_way(appeal: Appeal, event: Payload) -> Appeal:
    match event:
        case AppealSupplemented():
            return replace(appeal, supplements=event.number)
        case AppealUrged():
            return replace(appeal, urges=event.number, urged_at=event.at)
        case AppealTagged():
            return replace(appeal, tags=event.tags)
        case AppealLinked():
            return replace(appeal, cluster=event.cluster)
        case AppellantWrote():
            return replace(appeal, messages=event.number)
        case AppealEvaluated():
            return replace(appeal, evaluations=event.number)
        case AttachmentAdded():
            return replace(appeal, scans={**appeal.scans, event.number: event.scan})
        case AttachmentScanned():
            return replace(appeal, scans={**appeal.scans, event.number: event.verdict})
        case ParticipantInvited():
            return replace(appeal, participants=appeal.participants | {event.unit_id})
        case ParticipantContributed():
            return replace(appeal, contributions=event.number)
    return appeal
