"""Who owns every event and who reads it. Types, subscriptions, diagrams and contract tests derive from this table."""

from __future__ import annotations

from dataclasses import dataclass

from shared.contracts import access, duties, feedback, intake, notices, routing, scoring
from shared.contracts.envelope import Payload, ServiceName


@dataclass(frozen=True, slots=True)
class EventType:
    """One event: its payload, and the services whose reactions or views read it."""

    payload: type[Payload]
    readers: tuple[ServiceName, ...]

    @property
    def owner(self) -> ServiceName:
        return self.payload.OF

    @property
    def type(self) -> str:
        return self.payload.event_type()


def _read_by(*readers: ServiceName) -> tuple[ServiceName, ...]:
    return readers


_TABLE: tuple[tuple[type[Payload], tuple[ServiceName, ...]], ...] = (
    (intake.AppealRegistered, _read_by("intake", "routing", "feedback")),
    (intake.AppealAnsweredDirectly, _read_by("intake", "routing", "feedback")),
    (intake.AppealRedirected, _read_by("intake", "routing", "feedback")),
    (intake.AppealMerged, _read_by("intake", "routing", "feedback", "scoring")),
    (intake.RiskAlertRaised, _read_by("intake")),
    (intake.AppealSupplemented, _read_by("intake")),
    (intake.AppealUrged, _read_by("intake", "routing", "feedback")),
    (intake.AppealTagged, _read_by("intake")),
    (intake.AppealLinked, _read_by("intake")),
    (intake.AttachmentAdded, _read_by("intake", "feedback")),
    (intake.AttachmentScanned, _read_by("intake", "feedback")),
    (intake.AppellantWrote, _read_by("intake", "feedback")),
    (intake.AppealEvaluated, _read_by("intake", "feedback")),
    (intake.ParticipantInvited, _read_by("intake")),
    (intake.ParticipantContributed, _read_by("intake")),
    (intake.MaliciousUseFlagged, _read_by("intake")),
    (intake.AppellantRevealed, _read_by("intake")),
    (intake.AppellantMeasureRequested, _read_by("intake")),
    (intake.AppellantRestricted, _read_by("intake", "feedback")),
    (intake.AppellantRestored, _read_by("intake", "feedback")),
    (intake.AppellantErased, _read_by("intake", "feedback")),
    (access.ApiKeyIssued, _read_by("intake")),
    (access.ApiKeyRevoked, _read_by("intake")),
    (access.OperationRequested, _read_by("intake")),
    (access.OperationApproved, _read_by("intake")),
    (access.OperationCarriedOut, _read_by("intake")),
    (access.MasterKeyDestroyed, _read_by("intake")),
    (intake.KnowledgePublished, _read_by("intake")),
    (intake.KnowledgeExpired, _read_by("intake")),
    (intake.KnowledgeRetired, _read_by("intake")),
    (intake.ImportStarted, _read_by("intake")),
    (intake.ImportAdvanced, _read_by("intake")),
    (intake.ImportEnded, _read_by("intake")),
    (intake.AppealWithdrawn, _read_by("intake", "routing", "feedback", "scoring")),
    (intake.AppealClosed, _read_by("intake", "routing")),
    (intake.AppealReopened, _read_by("intake")),
    (duties.UnitRegistered, _read_by("intake", "routing", "scoring")),
    (duties.UnitChanged, _read_by("intake", "routing", "scoring")),
    (duties.UnitChangeScheduled, _read_by("routing")),
    (duties.CatalogueDrafted, _read_by("routing")),
    (duties.CataloguePublished, _read_by("routing")),
    (duties.ClassifierStored, _read_by("routing")),
    (duties.ClassifierActivated, _read_by("routing")),
    (duties.ClassifierRolledBack, _read_by("routing")),
    (routing.OrderProposed, _read_by("intake", "routing")),
    (routing.OrderDispatched, _read_by("intake", "routing", "feedback", "scoring")),
    (routing.DispatchOverdue, _read_by("intake", "routing")),
    (routing.OrderSigned, _read_by("intake", "routing", "feedback", "scoring")),
    (routing.ConsultationOpened, _read_by("intake", "routing")),
    (routing.ConsultationClosed, _read_by("intake", "routing")),
    (routing.OrderObjected, _read_by("intake", "routing")),
    (routing.ObjectionUpheld, _read_by("intake", "routing")),
    (routing.ObjectionRejected, _read_by("intake", "routing")),
    (routing.ObjectionReviewOverdue, _read_by("intake", "routing")),
    (routing.ExtensionRequested, _read_by("intake", "routing")),
    (routing.ExtensionGranted, _read_by("intake", "routing", "feedback")),
    (routing.ExtensionDenied, _read_by("intake", "routing")),
    (routing.ExtensionAnswerOverdue, _read_by("intake", "routing")),
    (routing.DueTimeCorrected, _read_by("intake", "routing", "feedback")),
    (routing.OrderReminded, _read_by("intake", "routing", "feedback")),
    (routing.OrderHandedOver, _read_by("intake", "routing")),
    (routing.WhistleBlown, _read_by("intake", "routing", "scoring")),
    (routing.DepartmentReported, _read_by("intake", "routing", "scoring")),
    (routing.ReportInOverdue, _read_by("intake", "routing", "scoring")),
    (routing.SubtaskClosed, _read_by("intake", "routing", "scoring")),
    (routing.WhistleClosed, _read_by("intake", "routing", "scoring")),
    (routing.OrderEscalated, _read_by("intake", "routing", "scoring")),
    (routing.SupervisionOpened, _read_by("intake", "routing", "feedback")),
    (routing.LadderStepTaken, _read_by("intake", "routing", "scoring")),
    (routing.LedgerRequested, _read_by("intake", "routing")),
    (routing.LedgerOpened, _read_by("intake", "routing", "feedback")),
    (routing.LedgerReviewed, _read_by("intake", "routing")),
    (routing.LedgerClosed, _read_by("intake", "routing", "feedback")),
    (routing.LedgerReviewOverdue, _read_by("intake", "routing")),
    (routing.SignOverdue, _read_by("intake", "routing", "scoring")),
    (routing.HandlingCompleted, _read_by("intake", "routing", "scoring")),
    (routing.HandlingLimitExpired, _read_by("intake", "routing", "feedback")),
    (routing.OrderEnded, _read_by("intake", "routing")),
    (feedback.CaseOpened, _read_by("intake", "feedback")),
    (feedback.CaseSigned, _read_by("intake", "feedback")),
    (feedback.AppellantContacted, _read_by("intake", "feedback", "scoring")),
    (feedback.AppellantUnreachable, _read_by("intake", "feedback")),
    (feedback.FeedbackGiven, _read_by("intake", "feedback")),
    (feedback.MessagePosted, _read_by("intake", "feedback")),
    (feedback.CallbackScheduled, _read_by("intake", "routing", "feedback")),
    (feedback.AppellantReplied, _read_by("intake", "feedback")),
    (feedback.ReplyAwaited, _read_by("intake", "feedback")),
    (feedback.ReplyOverdue, _read_by("intake", "feedback")),
    (feedback.MessagesRead, _read_by("intake", "feedback")),
    (feedback.CallbackAssigned, _read_by("intake", "feedback")),
    (feedback.CallbackOverdue, _read_by("intake", "feedback")),
    (feedback.CallbackAttempted, _read_by("intake", "feedback")),
    (feedback.CallbackRecorded, _read_by("intake", "feedback", "scoring")),
    (feedback.CallbackInvalidated, _read_by("intake", "feedback", "scoring")),
    (feedback.RecheckOrdered, _read_by("intake", "feedback")),
    (feedback.CallbackRechecked, _read_by("intake", "feedback")),
    (feedback.CallbackContested, _read_by("intake", "feedback")),
    (feedback.CallbackReviewed, _read_by("intake", "feedback", "scoring")),
    (feedback.CitizenEvaluated, _read_by("intake", "feedback")),
    (feedback.CaseReopened, _read_by("intake", "feedback")),
    (feedback.ReworkRequested, _read_by("intake", "routing", "feedback")),
    (feedback.CaseEnded, _read_by("intake", "feedback")),
    (notices.NotificationPlanned, _read_by("feedback")),
    (notices.NotificationPostponed, _read_by("feedback")),
    (notices.NotificationAttempted, _read_by("feedback")),
    (notices.NotificationSent, _read_by("feedback")),
    (notices.NotificationDelivered, _read_by("feedback")),
    (notices.NotificationFailed, _read_by("feedback")),
    (notices.NotificationSuppressed, _read_by("feedback")),
    (notices.PreferencesSet, _read_by("feedback")),
    (notices.SupervisionLeadRaised, _read_by("feedback")),
    (notices.SupervisionLeadClosed, _read_by("feedback")),
    (scoring.AssessmentRecorded, _read_by("intake", "scoring")),
    (scoring.PolicyDrafted, _read_by("scoring")),
    (scoring.PolicyActivated, _read_by("scoring")),
    (scoring.ExclusionClaimed, _read_by("intake", "scoring")),
    (scoring.ExclusionApproved, _read_by("intake", "scoring")),
    (scoring.ExclusionRejected, _read_by("intake", "scoring")),
    (scoring.ExclusionAppealed, _read_by("intake", "scoring")),
    (scoring.ExclusionLapsed, _read_by("intake", "scoring")),
    (scoring.CreditGranted, _read_by("scoring")),
    (scoring.CreditWithdrawn, _read_by("scoring")),
    (scoring.GovernanceEntered, _read_by("scoring")),
    (scoring.GovernanceLeft, _read_by("scoring")),
    (scoring.PeriodClosed, _read_by("scoring")),
    (scoring.PeriodRestated, _read_by("scoring")),
)

CATALOGUE: dict[str, EventType] = {payload.event_type(): EventType(payload, readers) for payload, readers in _TABLE}
