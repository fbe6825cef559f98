"""The switches as operators see and set them; ``experiment`` decides by them, within a second."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field, computed_field

from common.errors import Conflict, NotFound
from common.http import AdminChange, Change, ChangeAnswer
from common.postgres import Database

_ALL = "SELECT * FROM flag ORDER BY name"
_ONE = "SELECT * FROM flag WHERE name = $1"
_LOCK = "SELECT * FROM flag WHERE name = $1 FOR NO KEY UPDATE"
_SET = """
UPDATE flag SET enabled = $2, share = $3, version = version + 1, updated_at = now(), updated_by = $4
WHERE name = $1 RETURNING *
"""
_AUDITED = {"enabled", "share", "version"}


class FlagView(BaseModel):
    """A switch. `share` is in hundredths of a percent of orders, `percent` the same in percent: a share of 50 is 0.5 %."""

    name: str
    enabled: bool
    share: int
    version: int
    updated_at: datetime
    updated_by: str

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own documented form; mypy knows no decorated properties
    @property
    def percent(self) -> float:
        """`share` in percent of orders."""
        return self.share / 100


class FlagSet(FlagView, ChangeAnswer):
    """A switch as it is now. Nobody is told."""


class Flags(BaseModel):
    """All flags."""

    items: list[FlagView]


class FlagChange(AdminChange):
    """A switch's new setting; `share` (hundredths of a percent) stays if left out."""

    enabled: bool
    share: int | None = Field(default=None, ge=0, le=10_000, strict=True, description="50 is 0.5 %, 10000 all orders")
    expected_version: int | None = Field(
        default=None, ge=0, lt=2**63, strict=True, description="409 when it is at another one"
    )


async def flags(database: Database) -> Flags:
    """Return all flags."""
    async with database.acquire() as connection:
        return Flags(items=[FlagView.model_validate({**row}) for row in await connection.fetch(_ALL)])


async def flag(database: Database, name: str) -> FlagView:
    """Return one flag. Raises ``NotFound``."""
    async with database.acquire() as connection:
        row = await connection.fetchrow(_ONE, name)
    if row is None:
        raise NotFound(f"there is no flag {name}")
    return FlagView.model_validate({**row})


async def set_flag(change: Change, name: str, wanted: FlagChange) -> FlagSet:
    """Set a flag and record it. Raises ``NotFound``, or ``Conflict`` when it is at another version."""
    before = await change.connection.fetchrow(_LOCK, name)
    if before is None:
        raise NotFound(f"there is no flag {name}")
    if wanted.expected_version is not None and before["version"] != wanted.expected_version:
        raise Conflict(f"flag {name} is at version {before['version']}, not {wanted.expected_version}")
    share = before["share"] if wanted.share is None else wanted.share
    after = await change.connection.fetchrow(_SET, name, wanted.enabled, share, change.principal.name)
    answer = FlagSet.model_validate({**(after or before)})
    await change.record(
        "flag.set",
        f"flag:{name}",
        before={field: before[field] for field in sorted(_AUDITED)},
        after=answer.model_dump(include=_AUDITED),
    )
    return answer
