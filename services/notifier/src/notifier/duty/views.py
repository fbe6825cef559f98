"""What the operations on the roster take and answer."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from common.http import AdminChange, ChangeAnswer

_BIGINT = 2**63 - 1
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Moment = Annotated[
    AwareDatetime,
    Field(ge=datetime.fromisoformat("2000-01-01T00:00:00Z"), le=datetime.fromisoformat("2200-01-01T00:00:00Z")),
]
_Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2199, 12, 31))]


class WeekBody(BaseModel):
    """Who has one week; null is nobody."""

    model_config = ConfigDict(extra="forbid")

    on_duty: _Name | None
    backup: _Name | None = None


class PlanBody(BaseModel):
    """The rotation from a Monday on; `weeks` (by their Mondays) stand over it."""

    model_config = ConfigDict(extra="forbid")

    zone: str = Field(default="Europe/Moscow", max_length=64)
    first_week: _Day
    rotation: Annotated[list[_Name], Field(max_length=100)] = Field(default_factory=list)
    backups: Annotated[list[_Name], Field(max_length=100)] = Field(default_factory=list)
    weeks: Annotated[dict[_Day, WeekBody], Field(max_length=500)] = Field(default_factory=dict)
    starts: time = time(10, 0)

    @model_validator(mode="after")
    def _wall_time(self) -> PlanBody:
        if self.starts.tzinfo is not None:
            raise ValueError("starts is a wall time, without a zone")
        return self


class RosterChange(PlanBody):
    """A whole new plan; overrides stay."""

    reason: str = Field(min_length=3, max_length=1000, description="why; stands in the audit log")
    dry_run: bool = False
    expected_version: int | None = Field(default=None, ge=0, le=_BIGINT, description="409 when it is at another one")


class ShiftView(BaseModel):
    """A final shift: rotation, overrides and swaps together."""

    starts_at: datetime
    ends_at: datetime
    on_duty: str | None
    backup: str | None


class OverrideView(BaseModel):
    """Somebody else for a while."""

    id: int
    place: str
    person: str | None
    starts_at: datetime
    ends_at: datetime


class OverrideKept(OverrideView):
    """An override as it is kept, also one that is over: who made it, when and why."""

    reason: str
    created_by: str
    created_at: datetime


class RosterView(BaseModel):
    """The plan, the overrides that are not over, the final shifts of the next weeks and the gaps among them.

    `version` is the plan's, `revision` grows with every change of the roster.
    """

    version: int
    revision: int
    plan: PlanBody | None
    overrides: list[OverrideView]
    shifts: list[ShiftView]
    gaps: list[ShiftView]
    dry_run: bool = False


class ReplacedView(BaseModel):
    """Who answers instead of whom, from when until when; null is nobody."""

    place: str
    person: str | None
    instead_of: str | None
    starts_at: datetime
    ends_at: datetime


REPLACED: Any = Field(description="who answers instead of whom within the next year")


class RosterChanged(RosterView, ChangeAnswer):
    """The roster as it is after the change (or would be)."""

    replaced: list[ReplacedView] = REPLACED


class OverrideBody(AdminChange):
    """Either somebody (null: nobody; never by leaving it out) for a while, or two weeks, named by their Mondays, that change places."""

    place: Literal["on_duty", "backup"] = "on_duty"
    person: _Name | None = None
    starts_at: _Moment | None = None
    ends_at: _Moment | None = None
    swap: tuple[_Day, _Day] | None = None
    expected_version: int | None = Field(
        default=None,
        ge=0,
        le=_BIGINT,
        description="the roster's `revision` that was looked at; 409 when it is at another one",
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> OverrideBody:
        if self.swap is not None:
            if self.starts_at is not None or self.ends_at is not None or self.person is not None:
                raise ValueError("a swap names two weeks and nothing else")
        elif self.starts_at is None or self.ends_at is None or self.starts_at >= self.ends_at:
            raise ValueError("starts_at and ends_at are needed, in this order")
        elif "person" not in self.model_fields_set:
            raise ValueError("person is needed; null where nobody is to answer")
        return self


class Overridden(ChangeAnswer):
    """The overrides that were made or taken back (or would be)."""

    items: list[OverrideView]
    replaced: list[ReplacedView] = REPLACED
    dry_run: bool


class PersonView(BaseModel):
    """A colleague. The phone is for operators with a token."""

    id: str
    name: str
    phone: str | None


class OnCallView(BaseModel):
    """Who answers now, until when, whether the handover was confirmed, who is next, and the gaps of the next weeks.

    `handed_over_by`: who had the duty before, and cannot confirm that it was taken over; null where nobody hands over.
    """

    now: datetime
    on_duty: PersonView | None
    backup: PersonView | None
    previous: PersonView | None
    since: datetime | None
    until: datetime | None
    confirmed: bool
    handed_over_by: str | None
    next: ShiftView | None
    gaps: list[ShiftView]


class Confirmed(ChangeAnswer):
    """The handover that is confirmed now."""

    handover_id: int
    person: str
    dry_run: bool
