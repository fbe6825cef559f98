"""The figures that say whether anything was lost, each asked of the service that knows it, each with its age."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from console.client.checks import COUNTED
from console.client.operations import operation
from console.client.suite import Page, Suite, or_none
from console.client.things import services_with, thing_of
from console.web.asking import page_or_none
from console.web.screens import list_path

_DAYS = 7


@dataclass(frozen=True, slots=True)
class Question:
    """What must be nothing, and where to see it when it is not."""

    title: str
    noun: str
    filter: Mapping[str, str] = field(default_factory=dict)
    service: str | None = None


QUESTIONS = (
    Question("Acknowledged orders that did not arrive", "unarrived"),
    Question("Quarantined hooks that nobody decided about", "intake", {"outcome": "quarantined", "undecided": "true"}),
    Question("Crashed workflows", "workflow", {"state": "crashed"}),
    Question("Customers who wait: endangered orders", "endangered", {"state": "open"}),
    *(Question("Dead letters", "dead-letter", {"open": "true"}, service) for service in services_with("dead-letter")),
)
PAID_ONCE = (
    Question("Money that went out twice", "difference", {"open": "true", "kind": "paid_twice"}),
    Question("More went back than was captured", "difference", {"open": "true", "kind": "captured_below_refunded"}),
    Question("Differences with payment systems that are open", "difference", {"open": "true"}),
    Question("Refunds of which nobody knows", "refund", {"state": "UNKNOWN"}),
    Question("Refunds that failed", "refund", {"state": "ERROR"}),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """How many there are; None where the service could not say."""

    question: Question
    page: Page | None

    @property
    def address(self) -> str:
        """The list of them."""
        service = {"service": self.question.service} if self.question.service else {}
        chosen = {**service, **self.question.filter}
        return list_path(self.question.noun) + (f"?{urlencode(chosen)}" if chosen else "")


@dataclass(frozen=True, slots=True)
class Day:
    """A day: what came in and what became of it, orders acknowledged and arrived, and told. None where a service could not say."""

    day: datetime
    ledger: Mapping[str, Any] | None
    arrivals: Mapping[str, Any] | None
    told: Mapping[str, Any] | None

    @property
    def balanced(self) -> bool:
        """Whether all that was received has one outcome."""
        return self.ledger is not None and self.ledger["difference"] == 0

    @property
    def equation(self) -> str:
        """The day in figures: received = confirmed + spooled + quarantined + refused, with what is missing."""
        if self.ledger is None:
            return ""
        received, *outcomes = (int(self.ledger[name]) for name in COUNTED)
        sign = "=" if self.balanced else "≠"
        return f"{received} {sign} {' + '.join(map(str, outcomes))}"


async def days(suite: Suite, midnight: datetime) -> Sequence[Day]:
    """Return the last days, today first. ``midnight``: when today began, with its zone."""
    starts = [midnight - timedelta(days=back) for back in range(_DAYS)]
    return await asyncio.gather(*(_day(suite, start) for start in starts))


async def answers(suite: Suite, questions: Sequence[Question]) -> Sequence[Answer]:
    """Return how many there are of each."""
    return await asyncio.gather(*(_answer(suite, question) for question in questions))


async def paid(suite: Suite) -> Page | None:
    """Return a page with the count of refunds that were paid."""
    return await page_or_none(suite, "refund", state="SUCCESS", limit=1, count=True)


async def _day(suite: Suite, start: datetime) -> Day:
    asked = {"from": start.isoformat(), "to": (start + timedelta(days=1)).isoformat()}

    def of(service: str, path: str) -> Awaitable[Mapping[str, Any] | None]:
        """Ask a service for its figures of the day."""
        return or_none(suite.get(service, operation(service, f"GET {path}").path, **asked))

    return Day(
        start,
        *await asyncio.gather(
            of("webhook-gateway", "/admin/v1/ledger"),
            of("webhook-gateway", "/admin/v1/arrivals"),
            of("notifier", "/admin/v1/told-orders"),
        ),
    )


async def _answer(suite: Suite, question: Question) -> Answer:
    thing = thing_of(question.noun, question.service)
    return Answer(question, await or_none(thing.page(suite, **question.filter, limit=1, count=True)))
