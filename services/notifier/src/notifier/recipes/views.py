"""What starting a recipe takes and answers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from common.http import AdminChange


class StartRecipeBody(AdminChange):
    """`reason` stands in the incident's history, in the audit log, and in that of the service that carries the recipe out."""


class RecipeStarted(BaseModel):
    """What became of it, or would. Whoever starts a recipe has the incident."""

    outcome: Literal["started", "under_way"] = Field(description="`under_way`: the person had started it before")
    id: int = Field(description="the incident")
    name: str
    target: str = Field(description="the workflow or the refund")
    would: str | None = Field(default=None, description="of a dry run: the word of the service for what it would do")
    dry_run: bool
