"""What the operations on silences take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from common.http import AdminChange, ChangeAnswer, Moment
from notifier.routing.file import Match


class Silence(BaseModel):
    """One silence. `match` reads as in routes: trait → patterns."""

    id: int
    match: dict[str, list[str]]
    purpose: Literal["silence", "maintenance"]
    starts_at: datetime
    ends_at: datetime
    reason: str
    created_by: str
    created_at: datetime
    ended_by: str | None


class NewSilence(AdminChange):
    """Problems that fit `match` are told to nobody from `starts_at` (now unless given) to `ends_at`; orders are always told.

    What is still not over when the silence ends is told then.
    """

    match: Annotated[Match, Field(min_length=1, examples=[{"service": ["tips"], "severity": ["warning"]}])]
    purpose: Literal["silence", "maintenance"] = "silence"
    starts_at: Moment | None = None
    ends_at: Moment

    @model_validator(mode="after")
    def _sensible(self) -> NewSilence:
        if self.starts_at is not None and self.ends_at <= self.starts_at:
            raise ValueError("ends_at is not after starts_at")
        if any(not patterns or not all(1 <= len(each) <= 200 for each in patterns) for patterns in self.match.values()):
            raise ValueError("every trait of match needs patterns of 1 to 200 characters")
        if any("\0" in each for patterns in self.match.values() for each in patterns):
            raise ValueError("a pattern holds no NUL")
        return self


class KeptBack(BaseModel):
    """What a silence would have kept back of the last `hours`: messages that went out, of how many incidents."""

    hours: int
    messages: int
    incidents: int


class SilenceKept(ChangeAnswer):
    """The silence, the open incidents that fit it now, and what it would have kept back before. A dry run has no id.

    `warnings` tell of alerts that no rule and no incident names, with the names most like theirs.
    """

    id: int | None
    ends_at: datetime
    incidents: list[int]
    would_have_muted: KeptBack
    warnings: list[str] = Field(default=[])
    dry_run: bool


class SilenceEnded(ChangeAnswer):
    """What ending did, or would do."""

    id: int
    before: datetime
    after: datetime
    dry_run: bool
