"""What a recipe that somebody asked for is, and what can come of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from notifier.duty.model import TryLater
from notifier.incidents.model import Recipe, RecipeName
from notifier.messages.words import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeRequest:
    """A recipe that somebody asked for."""

    id: int
    incident_id: int
    recipe: str
    target: str
    version: int | None
    person: str
    state: str
    asked_at: datetime
    attempts: int = 0
    reason: str | None = None

    @property
    def wanted(self) -> Recipe:
        """The recipe and its target."""
        return Recipe(name=cast("RecipeName", self.recipe), target=self.target, version=self.version)


@dataclass(frozen=True, slots=True)
class RecipeDone:
    """The service carried it out, or would; ``said`` is its word for what came of it, if any, ``notices`` what it tells people."""

    said: str | None = None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecipeRefused:
    """The service refuses, for good; ``reason`` is its own sentence."""

    reason: str


RecipeOutcome = RecipeDone | RecipeRefused | TryLater


def request_of(row: Any) -> RecipeRequest:
    """Read a request's row."""
    return RecipeRequest(**{field: row[field] for field in RecipeRequest.__slots__})


def named(request: RecipeRequest, words: Words) -> str:
    """Say which recipe it is and what it is done to."""
    return words[f"recipe.{request.recipe}"].format(target=request.target)
