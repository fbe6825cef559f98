"""What operators send and see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from common.errors import InvalidInput
from common.http import CONTENT, AdminChange, ChangeAnswer, CustomersData, JsonObject, Moment, PageQuery, TraceId
from common.http.fields import as_json, in_utc
from common.http.kept_bodies import mask_text, mask_value
from webhook_gateway.deliveries.ledger import BY_SECONDS
from webhook_gateway.rescue.views import ExpectedVersion, Fault

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)
_LAST = datetime.max.replace(tzinfo=UTC)
_FIRST_DAY_ENDS = in_utc(datetime.min.replace(tzinfo=UTC)) + _DAY


class DeliveryFilter(BaseModel):
    """Which deliveries; all that is given must hold."""

    q: Annotated[str | None, CONTENT] = Field(
        default=None,
        max_length=255,
        description="what a person knows: phone, mail, name, our number, the source's id, a time (2026-11-21T10:00)",
    )
    order: str | None = Field(default=None, max_length=255, description="our number or the source's own id")
    number: str | None = Field(default=None, max_length=255)
    external_id: str | None = Field(default=None, max_length=255)
    source: str | None = Field(default=None, max_length=64)
    event: str | None = Field(default=None, max_length=100)
    outcome: Literal["confirmed", "spooled", "quarantined", "refused", "replayed", "entered"] | None = None
    reason: str | None = Field(default=None, max_length=255, description="whole, or the part before its colon")
    undecided: bool | None = Field(default=None, description="quarantined, and neither replayed nor dismissed")
    trace: TraceId | None = None
    since: Moment | None = Field(default=None, alias="from", description="received at or after")
    until: Moment | None = Field(default=None, alias="to", description="received before")


class DeliveriesQuery(DeliveryFilter, PageQuery):
    """Filters of the list of deliveries; all must hold."""


class DeliveryItem(BaseModel):
    """A delivery, without its body. `actor` and `why` are of the person who sent it again or entered it; `occurred_at` is when a
    replay's origin came in.
    """

    id: str
    received_at: datetime
    source: str
    event: str
    type: str
    outcome: str
    lane: str
    number: str | None
    external_id: str | None
    sent_at: str | None
    reason: str | None
    status: int | None
    replica: str
    replay_of: str | None
    occurred_at: datetime | None
    actor: str | None
    why: str | None
    size: int
    traceparent: str | None
    erased_at: datetime | None


class Delivery(DeliveryItem):
    """A delivery as it came. `body` is null when the bytes are no UTF-8 text; secrets in `headers` are masked.

    `faults`: what the suite cannot read of it, as it reads today. `version` grows with each decision about it, and
    `decision` says what a person decided: it was sent again, or dismissed.

    Viewers see customers' data masked in `body` and `headers`, and no `body_base64`. `erased_at`: when the customer in it was erased.
    """

    version: int
    decision: str | None
    recorded_at: datetime
    event_id: str
    digest: str | None
    currency: str | None
    body_form: str
    headers: Annotated[dict[str, Any], CustomersData(mask_value)]
    body: Annotated[str | None, CustomersData(mask_text)]
    body_base64: Annotated[str | None, CustomersData(lambda _: None)]
    faults: list[Fault]


class Replay(AdminChange):
    """Send a delivery again. `body`, if given, replaces what was kept."""

    body: JsonObject | None = None
    expected_version: ExpectedVersion = None


class Resent(ChangeAnswer):
    """What was sent: a delivery of its own, with its own id."""

    delivery_id: str
    event: str
    number: str
    dry_run: bool


class EnterEvent(AdminChange):
    """An event that never came, in the words of the source's hook. `timestamp`: when it happened; now unless given."""

    source: str = Field(min_length=1, max_length=64)
    event_type: str = Field(min_length=1, max_length=100)
    timestamp: Annotated[str | int | float, AfterValidator(as_json)] | None = None
    payload: JsonObject


class EnteredEvent(ChangeAnswer):
    """What the source would have been answered, and the delivery that it has become."""

    status: Literal["created", "ok"]
    number: str
    delivery_id: str
    event: str
    dry_run: bool


class LedgerQuery(BaseModel):
    """The period, by the time of receiving: a day to now unless given."""

    since: Moment | None = Field(default=None, alias="from", description="a day before `to` unless given")
    until: Moment | None = Field(default=None, alias="to", description="now unless given")

    def period(self, now: datetime) -> tuple[datetime, datetime]:
        """Return the period's two ends. Raises ``InvalidInput`` where it has no length."""
        until = self.until or now
        since = self.since or max(until, _FIRST_DAY_ENDS) - _DAY
        if until <= since:
            raise InvalidInput("`to` must be after `from`")
        return _whole(since, now), _whole(until, now, up=True)


def _whole(moment: datetime, now: datetime, *, up: bool = False) -> datetime:
    """Return the second that a moment lies in, or the hour, where only hours are known; with ``up`` the next one, unless it is whole."""
    unit = _HOUR if moment < now - BY_SECONDS else _SECOND
    whole = moment.replace(minute=0, second=0, microsecond=0) if unit is _HOUR else moment.replace(microsecond=0)
    return whole + unit if up and whole != moment and whole < _LAST - unit else whole


class Arrivals(BaseModel):
    """Orders whose `order.created` was acknowledged in a period: acknowledged = arrived + given_up + waiting.

    `arrived`: the orchestrator has announced it. `given_up`: a person decided that it is not to come. `waiting` must be nothing soon.
    """

    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    acknowledged: int
    arrived: int
    given_up: int
    waiting: int


class LedgerSums(BaseModel):
    """`received` is counted where a request comes in, the others by its outcome; all is well when `difference` is 0."""

    received: int = 0
    confirmed: int = 0
    spooled: int = Field(
        default=0, description="kept on a disk when it was answered: recorded since, or still in a spool of any replica"
    )
    quarantined: int = 0
    refused: int = 0
    outcomes: int = Field(default=0, description="confirmed + spooled + quarantined + refused")
    difference: int = Field(
        default=0,
        description="received - outcomes: above 0 what is on its way to the recorder, or was not answered because its process died",
    )


class ReplicaSums(LedgerSums):
    """The sums of one replica."""

    replica: str


class SourceSums(LedgerSums):
    """The sums of one source."""

    source: str


class RefusedFor(BaseModel):
    """How many requests of a source were refused for one reason."""

    source: str
    reason: str
    count: int


class Ledger(LedgerSums):
    """What came in during a period and what became of it. Covers what the recorder has kept and what was flushed of the counts.

    The period is widened to whole seconds, what is older than two days to whole hours.
    """

    since: datetime = Field(serialization_alias="from")
    until: datetime = Field(serialization_alias="to")
    by_replica: list[ReplicaSums]
    by_source: list[SourceSums]
    refused_for: list[RefusedFor] = Field(
        description="why, the most first; of days whose deliveries are no longer kept only the sums are"
    )


class UnarrivedOrder(BaseModel):
    """An order that was acknowledged and that the orchestrator has not announced."""

    number: str
    source: str | None
    external_id: str | None
    acknowledged_at: datetime
    age_seconds: float


class Dismissed(ChangeAnswer):
    """What a dismissal did; with `dry_run` what it would do."""

    delivery_id: str
    dismissed: bool
