"""What the operations on incidents take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from common.http import AdminChange, BulkChange, BulkFilter, ChangeAnswer, PageQuery, RowId
from notifier.delivery.views import Notification
from notifier.incidents.model import RecipeName

Name = Annotated[str, Field(min_length=1, max_length=200)]


class IncidentConditions(BaseModel):
    """Which incidents; all that is given has to hold."""

    state: Literal["open", "acknowledged", "resolved"] | None = None
    severity: Literal["critical", "warning", "info"] | None = None
    order: Name | None = None
    kind: Name | None = None
    alert: Annotated[Name | None, Field(description="the alert's own name at Alertmanager, in any case")] = None
    service: Name | None = None
    source: Name | None = None


class IncidentQuery(PageQuery, IncidentConditions):
    """Filters of the incidents."""


class GroupQuery(IncidentConditions):
    """By what to group which incidents. Without `state` those that are not resolved."""

    model_config = ConfigDict(extra="forbid")

    by: Literal["kind", "service", "severity", "state", "source", "order"] = "kind"


class IncidentGroup(BaseModel):
    """Incidents that have something in common: how many, how many of them are open, and the last time that one was reported."""

    value: str | None
    count: int
    open: int
    critical: int
    occurrences: int
    last_seen_at: datetime


class IncidentGroups(BaseModel):
    """The largest groups first, at most two hundred; `count` is of all incidents that match."""

    by: str
    count: int
    items: list[IncidentGroup]


class IncidentFilter(BulkFilter, IncidentConditions):
    """Which incidents to change. Without `state` those that are not resolved."""


class ChangeIncidents(BulkChange[RowId, IncidentFilter]):
    """Which incidents: by ids or by a filter. `reason` stands in each incident's history and in the audit log."""


class AcknowledgeIncidents(ChangeIncidents):
    """Which incidents to take."""

    take_over: bool = Field(default=False, description="acknowledge also what somebody else has taken")


class IncidentView(BaseModel):
    """One problem, however often it was reported. `muted` says why nobody has been told of it.

    `silenced_until`: as long as silences that cover it now last, whether or not somebody was told before they began.
    `summary`, `instruction` and `details` come in the language that `Accept-Language` names first (`ru`, `en`), else in that of the
    notices; what people, alerts and error reports say stays as it is.
    """

    id: int
    fingerprint: str
    kind: str
    severity: str
    state: str
    summary: str
    details: dict[str, Any]
    service: str
    environment: str
    order_number: str | None
    source: str | None
    store_id: str | None
    zone: str | None
    link: str | None
    instruction: str | None
    responsible: list[str]
    muted: str | None
    silenced_until: datetime | None
    occurrences: int
    first_seen_at: datetime
    last_seen_at: datetime
    opened_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    ack_until: datetime | None
    resolved_at: datetime | None
    resolved_by: str | None
    version: int


class HistoryLine(BaseModel):
    """What happened to an incident: who did what, and what they said."""

    id: int
    actor: str
    act: str
    text: str
    at: datetime


class CallView(BaseModel):
    """A phone call: `placed` is with the provider; `covered` is said by another call; `needless`: its problem was taken before."""

    id: str
    person: str
    occasion: str
    state: str
    attempts: int
    reason: str | None
    outside_id: str | None
    progress: str | None = Field(description="the provider's word: ringing, in-progress, completed, no-answer, …")
    progress_at: datetime | None
    created_at: datetime
    claimed_at: datetime | None
    ended_at: datetime | None


class TimerView(BaseModel):
    """The next step of the escalation chain; `due_at` null: nothing more comes by itself."""

    step: int
    round: int
    due_at: datetime | None


class RecipeRun(BaseModel):
    """A request for a recipe. `asked`: whoever asked has not confirmed it; `expired`: never did."""

    person: str
    state: Literal["asked", "confirmed", "running", "done", "failed", "declined", "expired"]
    result: str | None = Field(description="what was done, and why it was not")
    asked_at: datetime
    ended_at: datetime | None


class RecipeOffer(BaseModel):
    """A standard operation that mends a problem of this kind: `POST /admin/v1/incidents/{id}/recipes/{name}`."""

    name: RecipeName
    label: str
    does: str = Field(description="what will happen")
    role: Literal["operator", "admin"] = Field(description="the least that may")
    target: str = Field(description="the workflow or the refund")
    refusal: Literal["no_key_of_own"] | None = Field(
        None, description="why whoever asks could not start it: the people file has no token of theirs"
    )
    last: RecipeRun | None = Field(description="the last request for it")


class SilenceOver(BaseModel):
    """The silence that covers a problem now: nobody is notified of it until then."""

    id: int
    ends_at: datetime
    created_by: str
    reason: str


class IncidentStory(IncidentView):
    """One problem with the last 500 lines of its history, its newest 500 notices, its calls and its timer."""

    page: str | None = Field(None, description="the path of the page of what it is about")
    silence: SilenceOver | None = Field(None, description="the silence that covers it now; of several the first")

    revision: int = Field(0, description="grows when somebody takes it, when that ends and when it is over")
    runbook: str | None = Field(None, description="the page of the runbook of its kind")
    recipes: list[RecipeOffer] = Field(description="what a person can have done about it")
    history: list[HistoryLine]
    notices: list[Notification]
    calls: list[CallView]
    timers: list[TimerView]


class IncidentChange(AdminChange):
    """`reason` is what the person says; it stands in the incident's history and in the audit log."""

    take_over: bool = Field(default=False, description="acknowledge also what somebody else has taken")


class IncidentChanged(ChangeAnswer):
    """What the act did, or would do."""

    id: int
    before: str
    after: str
    dry_run: bool
