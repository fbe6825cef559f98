"""What starting a recipe takes and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from common.http import AdminChange, ChangeAnswer


class StartRecipeBody(AdminChange):
    """`reason` stands in the incident's history, in the audit log, and in that of the service that carries the recipe out."""

    expected_version: Annotated[
        int | None,
        Field(
            ge=0,
            le=2**63 - 1,
            description="the incident's `revision` that was looked at; 409 when it changed hands since",
        ),
    ] = None


class RecipeStarted(ChangeAnswer):
    """What became of it, or would. Whoever starts a recipe has the incident: it is taken over from its `holder`."""

    outcome: Literal["started", "under_way"] = Field(description="`under_way`: the person had started it before")
    id: int = Field(description="the incident")
    name: str
    target: str = Field(description="the workflow or the refund")
    holder: str | None = Field(default=None, description="somebody else who had the incident until now")
    held_since: datetime | None = Field(default=None, description="since when")
    would: str | None = Field(default=None, description="of a dry run: the word of the service for what it would do")
    dry_run: bool
