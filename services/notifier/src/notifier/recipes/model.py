"""What a recipe that somebody asked for is, and what can come of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from notifier.duty.model import TryLater


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


@dataclass(frozen=True, slots=True)
class RecipeDone:
    """The service carried it out."""


@dataclass(frozen=True, slots=True)
class RecipeRefused:
    """The service refuses, for good; ``reason`` is its own sentence."""

    reason: str


RecipeOutcome = RecipeDone | RecipeRefused | TryLater
