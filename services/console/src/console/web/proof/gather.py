"""The owner's figures: the ledger's equation by day, and what is open; each as of the moment it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from console.client.suite import Page, RefusedError, Suite, UnreachableError
from console.client.things import THINGS
from console.web.screens import list_path

_DAYS = 7


@dataclass(frozen=True, slots=True)
class Question:
    """What must be nothing for nothing to be lost: the words over it, and the list that holds it."""

    title: str
    noun: str
    filter: Mapping[str, str]


QUESTIONS = (
    Question("Acknowledged orders that did not arrive", "unarrived", {}),
    Question("Quarantined hooks that nobody decided about", "intake", {"outcome": "quarantined", "undecided": "true"}),
    Question("Differences with payment systems that are open", "difference", {"open": "true"}),
    Question("Refunds of which nobody knows", "refund", {"state": "UNKNOWN"}),
    Question("Refunds that failed", "refund", {"state": "ERROR"}),
    Question("Crashed workflows", "workflow", {"state": "crashed"}),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """How many there are; None where the service could not say (``problem``)."""

    question: Question
    page: Page | None
    problem: str | None = None

    @property
    def address(self) -> str:
        """The list of them."""
        query = "&".join(f"{name}={value}" for name, value in self.question.filter.items())
        return list_path(self.question.noun) + (f"?{query}" if query else "")


@dataclass(frozen=True, slots=True)
class Day:
    """A day's ledger: what came in must be what became of it. None where the gateway could not say."""

    day: datetime
    ledger: Mapping[str, Any] | None

    @property
    def balanced(self) -> bool:
        """Whether the equation holds."""
        return self.ledger is not None and self.ledger["difference"] == 0


async def days(suite: Suite, midnight: datetime) -> Sequence[Day]:
    """Return the last days' ledgers, today's first. ``midnight``: when today began, with its zone."""
    starts = [midnight - timedelta(days=back) for back in range(_DAYS)]
    return await asyncio.gather(*(_day(suite, start) for start in starts))


async def answers(suite: Suite) -> Sequence[Answer]:
    """Return how many there are of each."""
    return await asyncio.gather(*(_answer(suite, question) for question in QUESTIONS))


async def _day(suite: Suite, start: datetime) -> Day:
    until = start + timedelta(days=1)
    try:
        asked = {"from": start.isoformat(), "to": until.isoformat()}
        return Day(start, await suite.get("webhook-gateway", "/admin/v1/ledger", **asked))
    except (RefusedError, UnreachableError):
        return Day(start, None)


async def _answer(suite: Suite, question: Question) -> Answer:
    try:
        return Answer(question, await THINGS[question.noun].page(suite, **question.filter, limit=1, count=True))
    except (RefusedError, UnreachableError) as error:
        return Answer(question, None, str(error))
