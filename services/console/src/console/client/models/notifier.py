"""Answers of notifier, made of its OpenAPI document by `python -m tests.contract.surface`; not written by hand."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias

from typing import TypedDict


class AlertSender(TypedDict):
    id: int
    name: str
    environment: str | None
    seen_at: str
    state: Literal['heard', 'silent']
    incident_id: int | None


class Assigned(TypedDict):
    notices: NotRequired[list[str]]
    ticket: str
    before: str | None
    after: str | None
    dry_run: bool


class AuditRecord(TypedDict):
    id: int
    at: str
    actor: str
    role: str
    action: str
    target: str
    reason: str
    before: Any
    after: Any
    request_id: str


class BulkItem(TypedDict):
    notices: NotRequired[list[str]]
    id: int | str
    version: int | str | None
    outcome: str
    code: NotRequired[str | None]
    detail: NotRequired[str | None]


class CallView(TypedDict):
    id: str
    person: str
    occasion: str
    state: str
    attempts: int
    reason: str | None
    outside_id: str | None
    progress: str | None
    progress_at: str | None
    created_at: str
    claimed_at: str | None
    ended_at: str | None


class Closed(TypedDict):
    notices: NotRequired[list[str]]
    ticket: str
    incidents: list[int]
    dry_run: bool


class Commented(TypedDict):
    notices: NotRequired[list[str]]
    id: int | None
    ticket: str
    acknowledged: bool
    dry_run: bool


class Confirmed(TypedDict):
    notices: NotRequired[list[str]]
    handover_id: int
    person: str
    dry_run: bool


class DeadLetter(TypedDict):
    id: int
    queue: str
    handler: str
    event_id: str | None
    event_type: str | None
    subject: str | None
    reason: str
    error: str
    dead_at: str
    state: Literal['open', 'replayed', 'mended', 'dismissed']
    decided_at: str | None
    decided_by: str | None
    replayed_at: str | None
    replayed_by: str | None
    erased_at: str | None


class Decided(TypedDict):
    notices: NotRequired[list[str]]
    id: int
    queue: str
    event_id: str | None
    state: Literal['replayed', 'mended', 'dismissed']
    dry_run: bool


class DefectView(TypedDict):
    id: int
    match: dict[str, list[str]]
    cause: str | None
    development_ticket: str | None
    reason: str
    created_by: str
    created_at: str
    ended_at: str | None
    ended_by: str | None


class Developed(TypedDict):
    notices: NotRequired[list[str]]
    ticket: str
    id: int | None
    development_ticket: str | None
    known_defect: bool
    dry_run: bool


class Erased(TypedDict):
    notices: NotRequired[list[str]]
    dry_run: bool
    places: int
    by_kind: dict[str, int]
    kept: dict[str, str]


class HistoryLine(TypedDict):
    id: int
    actor: str
    act: str
    text: str
    at: str


class HoleView(TypedDict):
    what: Literal['routes', 'channels', 'people', 'roster', 'call_provider', 'escalation', 'alerts']
    detail: str


class IncidentChanged(TypedDict):
    notices: NotRequired[list[str]]
    id: int
    before: str
    after: str
    dry_run: bool


class IncidentGroup(TypedDict):
    value: str | None
    count: int
    open: int
    critical: int
    occurrences: int
    last_seen_at: str


class IncidentGroups(TypedDict):
    by: str
    count: int
    items: list[IncidentGroup]


class IncidentView(TypedDict):
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
    silenced_until: str | None
    occurrences: int
    first_seen_at: str
    last_seen_at: str
    opened_at: str
    acknowledged_at: str | None
    acknowledged_by: str | None
    ack_until: str | None
    resolved_at: str | None
    resolved_by: str | None
    version: int


class InstructionView(TypedDict):
    kind: str
    text: str
    call: bool
    queue: str | None
    version: int
    updated_at: str
    updated_by: str


class KeptBack(TypedDict):
    hours: int
    messages: int
    incidents: int


class Linked(TypedDict):
    notices: NotRequired[list[str]]
    ticket: str
    before: str | None
    after: str
    dry_run: bool


class Notification(TypedDict):
    notice_id: str
    delivery_id: int | None
    kind: str
    transition: str
    severity: str
    order_number: str | None
    incident_id: int | None
    state: str
    reason: str | None
    destination: str | None
    channel: str | None
    lane: str | None
    topic: int | None
    route: str | None
    fallback_of: int | None
    digest_id: int | None
    attempts: int
    possibly_repeated: bool
    message_ids: list[str]
    text: str | None
    event_id: str
    occurred_at: str
    created_at: str
    not_before: str | None
    sent_at: str | None
    held_by: str | None
    held_behind: str | None
    held_behind_kind: str | None
    failed_at: str | None
    received_at: str | None
    waited: str | None
    came_by: str | None


class OverrideKept(TypedDict):
    id: int
    place: str
    person: str | None
    starts_at: str
    ends_at: str
    reason: str
    created_by: str
    created_at: str


class OverrideView(TypedDict):
    id: int
    place: str
    person: str | None
    starts_at: str
    ends_at: str


class PageAlertSender(TypedDict):
    items: list[AlertSender]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageAuditRecord(TypedDict):
    items: list[AuditRecord]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageDeadLetter(TypedDict):
    items: list[DeadLetter]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageDefectView(TypedDict):
    items: list[DefectView]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageIncidentView(TypedDict):
    items: list[IncidentView]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageNotification(TypedDict):
    items: list[Notification]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageOverrideKept(TypedDict):
    items: list[OverrideKept]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PeopleChanged(TypedDict):
    notices: NotRequired[list[str]]
    version: int
    added: list[str]
    removed: list[str]
    changed: dict[str, list[str]]
    dry_run: bool


RotationItem: TypeAlias = str


Backup: TypeAlias = str


class RecipeRun(TypedDict):
    person: str
    state: Literal['asked', 'confirmed', 'running', 'done', 'failed', 'declined', 'expired']
    result: str | None
    asked_at: str
    ended_at: str | None


class RecipeStarted(TypedDict):
    notices: NotRequired[list[str]]
    outcome: Literal['started', 'under_way']
    id: int
    name: str
    target: str
    holder: NotRequired[str | None]
    held_since: NotRequired[str | None]
    would: NotRequired[str | None]
    dry_run: bool


class RepeatedAct(TypedDict):
    action: str
    reason: str
    times: int
    people: list[str]
    first_at: str
    last_at: str
    latest: list[str]


class RepeatedActs(TypedDict):
    items: list[RepeatedAct]


class ReplacedView(TypedDict):
    place: str
    person: str | None
    instead_of: str | None
    starts_at: str
    ends_at: str


class Replayed(TypedDict):
    notices: NotRequired[list[str]]
    id: int
    queue: str
    event_id: str | None
    replayed: bool


class RouteDifference(TypedDict):
    notice_id: str
    kind: str
    order_number: str | None
    incident_id: int | None
    created_at: str
    was: list[str]
    would: list[str]


class RouteTarget(TypedDict):
    destination: str
    channel: str
    address: str
    topic: int | None
    route: str


class SenderGivenUp(TypedDict):
    notices: NotRequired[list[str]]
    id: int
    name: str
    seen_at: str
    dry_run: bool


class ShiftView(TypedDict):
    starts_at: str
    ends_at: str
    on_duty: str | None
    backup: str | None


class Silence(TypedDict):
    id: int
    match: dict[str, list[str]]
    purpose: Literal['silence', 'maintenance']
    starts_at: str
    ends_at: str
    reason: str
    created_by: str
    created_at: str
    ended_by: str | None


class SilenceEnded(TypedDict):
    notices: NotRequired[list[str]]
    id: int
    before: str
    after: str
    dry_run: bool


class SilenceKept(TypedDict):
    notices: NotRequired[list[str]]
    id: int | None
    ends_at: str
    incidents: list[int]
    would_have_muted: KeptBack
    warnings: NotRequired[list[str]]
    dry_run: bool


class SilenceOver(TypedDict):
    id: int
    ends_at: str
    created_by: str
    reason: str


class Summoned(TypedDict):
    notices: NotRequired[list[str]]
    ticket: str
    incident_id: int | None
    people: list[str]
    dry_run: bool


class TestMessageAccepted(TypedDict):
    notices: NotRequired[list[str]]
    notice_id: str | None
    channel: str
    address: str
    dry_run: bool


class TicketCommentView(TypedDict):
    id: int
    author: str
    text: str
    at: str


class TicketLinked(TypedDict):
    notices: NotRequired[list[str]]
    ticket: str
    linked: str
    before: NotRequired[str | None]
    known_defect: NotRequired[bool]
    dry_run: bool


class TicketOpened(TypedDict):
    notices: NotRequired[list[str]]
    id: int | None
    key: str | None
    queue: str
    dry_run: bool


class TicketView(TypedDict):
    id: int
    version: int
    key: str | None
    queue: str
    state: str
    kind: str
    summary: str
    description: str
    order_number: str | None
    incident_id: int | None
    development_ticket: str | None
    created_by: str
    created_at: str
    closed_at: str | None
    outside: str
    reason: str | None
    assignee: str | None
    summons_id: int | None
    links: list[str]
    comments: list[TicketCommentView]


class TimerView(TypedDict):
    step: int
    round: int
    due_at: str | None


Told = TypedDict(
    'Told',
    {
        'from': str,
        'to': str,
        'orders': int,
        'told': int,
        'waiting': int,
        'nobody': int,
        'failed': int,
    },
)


class UnreadAlert(TypedDict):
    id: int
    sender: str
    reason: str
    parts: int
    text: str
    seen: int
    first_at: str
    last_at: str


class Verdict(TypedDict):
    name: str
    at: str
    found: int
    looked: int
    detail: str


class Verdicts(TypedDict):
    items: list[Verdict]


class WaitingQueue(TypedDict):
    name: str
    replica: NotRequired[str | None]
    waiting: int | None
    oldest_seconds: NotRequired[float | None]
    late_after_seconds: NotRequired[float | None]
    late_above: NotRequired[int | None]
    as_of: NotRequired[str | None]
    state: Literal['unknown', 'empty', 'waiting', 'late']


class WaitingQueues(TypedDict):
    items: list[WaitingQueue]
    complete: bool


class WeekBody(TypedDict):
    on_duty: str | None
    backup: NotRequired[str | None]


class Whoami(TypedDict):
    name: str
    role: str
    permissions: list[str]


class WholeLetter(TypedDict):
    id: int
    queue: str
    handler: str
    event_id: str | None
    event_type: str | None
    subject: str | None
    reason: str
    error: str
    dead_at: str
    state: Literal['open', 'replayed', 'mended', 'dismissed']
    decided_at: str | None
    decided_by: str | None
    replayed_at: str | None
    replayed_by: str | None
    erased_at: str | None
    body: Any
    data: Any
    body_base64: str | None
    mended: Any
    became: Literal['on_its_way', 'handled', 'dead_again'] | None


class NotifierDutyViewsPersonView(TypedDict):
    id: str
    name: str
    phone: str | None


class NotifierPeopleViewsPersonView(TypedDict):
    id: str
    name: str
    role: NotRequired[Literal['viewer', 'operator', 'admin']]
    telegram: NotRequired[int | None]
    slack: NotRequired[str | None]
    tracker: NotRequired[str | None]
    mention: NotRequired[str | None]
    phone: NotRequired[str | None]
    has_token: NotRequired[bool]


class BulkAnswer(TypedDict):
    dry_run: bool
    plan: str
    matched: int
    more: bool
    already_applied: NotRequired[bool]
    items: list[BulkItem]


class CoverageView(TypedDict):
    covered: bool
    missing: list[HoleView]


class DefectKept(TypedDict):
    notices: NotRequired[list[str]]
    defect: DefectView
    dry_run: bool


class InstructionChanged(TypedDict):
    notices: NotRequired[list[str]]
    kind: str
    before: InstructionView | None
    after: InstructionView | None
    dry_run: bool


class InstructionList(TypedDict):
    items: list[InstructionView]


class NoticeStory(TypedDict):
    notice_id: str
    kind: str
    transition: str
    severity: str
    order_number: str | None
    incident_id: int | None
    event_id: str
    text: str | None
    occurred_at: str
    created_at: str
    received_at: str | None
    deliveries: list[Notification]


class OnCallView(TypedDict):
    now: str
    on_duty: NotifierDutyViewsPersonView | None
    backup: NotifierDutyViewsPersonView | None
    previous: NotifierDutyViewsPersonView | None
    since: str | None
    until: str | None
    confirmed: bool
    handed_over_by: str | None
    next: ShiftView | None
    gaps: list[ShiftView]


class Overridden(TypedDict):
    notices: NotRequired[list[str]]
    items: list[OverrideView]
    replaced: list[ReplacedView]
    dry_run: bool


class PageSilence(TypedDict):
    items: list[Silence]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageTicketView(TypedDict):
    items: list[TicketView]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PageUnreadAlert(TypedDict):
    items: list[UnreadAlert]
    next_cursor: str | None
    count: NotRequired[int | None]
    count_exact: NotRequired[bool | None]


class PastAnswer(TypedDict):
    events: int
    unrouted: int
    by_destination: dict[str, int]
    changed: int
    differences: list[RouteDifference]


class PeopleView(TypedDict):
    owners: NotRequired[dict[str, list[str]]]
    seniors: NotRequired[list[str]]
    people: list[NotifierPeopleViewsPersonView]
    origin: Literal['file', 'put']
    version: int
    dry_run: NotRequired[bool]


class PlanBody(TypedDict):
    zone: NotRequired[str]
    first_week: str
    rotation: NotRequired[list[RotationItem]]
    backups: NotRequired[list[Backup]]
    weeks: NotRequired[dict[str, WeekBody]]
    starts: NotRequired[str]


class RecipeOffer(TypedDict):
    name: Literal['retry_workflow', 'restart_refund']
    label: str
    does: str
    role: Literal['operator', 'admin']
    target: str
    refusal: NotRequired[Literal['no_key_of_own'] | None]
    last: RecipeRun | None


class RosterChanged(TypedDict):
    notices: NotRequired[list[str]]
    version: int
    revision: int
    plan: PlanBody | None
    overrides: list[OverrideView]
    shifts: list[ShiftView]
    gaps: list[ShiftView]
    dry_run: NotRequired[bool]
    replaced: list[ReplacedView]


class RosterView(TypedDict):
    version: int
    revision: int
    plan: PlanBody | None
    overrides: list[OverrideView]
    shifts: list[ShiftView]
    gaps: list[ShiftView]
    dry_run: NotRequired[bool]


class RouteAnswer(TypedDict):
    targets: list[RouteTarget]
    past: NotRequired[PastAnswer | None]


class IncidentStory(TypedDict):
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
    silenced_until: str | None
    occurrences: int
    first_seen_at: str
    last_seen_at: str
    opened_at: str
    acknowledged_at: str | None
    acknowledged_by: str | None
    ack_until: str | None
    resolved_at: str | None
    resolved_by: str | None
    version: int
    page: NotRequired[str | None]
    silence: NotRequired[SilenceOver | None]
    revision: NotRequired[int]
    runbook: NotRequired[str | None]
    recipes: list[RecipeOffer]
    history: list[HistoryLine]
    notices: list[Notification]
    calls: list[CallView]
    timers: list[TimerView]
