"""What needs a person now, asked of all services at once. What does not answer says so; it never looks like nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from console.client.operations import SERVICES
from console.client.queues import Waiting, waiting_in
from console.client.suite import Page, RefusedError, Suite, UnreachableError, or_none
from console.client.things import Thing, services_with, thing_of, value
from console.web.screens import list_path

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Danger:
    """A kind of trouble: which things it is, and the words over them."""

    title: str
    noun: str
    filter: Mapping[str, Any] = field(default_factory=dict)
    service: str | None = None

    @property
    def thing(self) -> Thing:
        """The kind of thing."""
        return thing_of(self.noun, self.service)

    @property
    def address(self) -> str:
        """The list of all of it."""
        shown = {**({"service": self.service} if self.service else {}), **self.filter}
        return list_path(self.noun) + (f"?{urlencode(shown)}" if shown else "")


_CRITICAL = {"state": "open", "severity": "critical"}
DANGERS = (
    Danger("The marketplace will cancel these orders", "countdown", {"state": "running"}),
    Danger("Open critical incidents", "incident", _CRITICAL),
    Danger("Acknowledged orders that did not arrive", "unarrived"),
    Danger("Customers who wait: endangered orders", "endangered", {"state": "open"}),
    Danger("Crashed workflows", "workflow", {"state": "crashed"}),
    Danger("Refunds that failed", "refund", {"state": "ERROR"}),
    Danger("Refunds of which nobody knows", "refund", {"state": "UNKNOWN"}),
    Danger("Differences with payment systems that are open", "difference", {"open": "true"}),
    Danger("Quarantined hooks", "intake", {"outcome": "quarantined", "undecided": "true"}),
    Danger("Open warnings", "incident", {"state": "open", "severity": "warning"}),
    *(Danger("Dead letters", "dead-letter", {"open": "true"}, service) for service in services_with("dead-letter")),
)
"""The most dangerous first."""


@dataclass(frozen=True, slots=True)
class Found:
    """A kind of trouble and what there is of it; ``problem`` where it could not be asked."""

    danger: Danger
    page: Page | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Now:
    """The whole picture. ``ready``: by service the checks that fail, empty when it can work, None when it does not answer.

    ``missing``: what keeps a critical problem from reaching a person, None when that is not known. ``queues``: by service what waits in
    it, None when it does not say.
    """

    found: Sequence[Found]
    on_call: Mapping[str, Any] | None
    missing: Sequence[Any] | None
    ready: Mapping[str, Sequence[str] | None]
    queues: Mapping[str, Waiting | None]

    @property
    def critical(self) -> Found:
        """Incidents that are open and critical: those whose news the page tells."""
        return next(each for each in self.found if each.danger.filter == _CRITICAL)

    @property
    def troubles(self) -> list[Found]:
        """What there is, and what nobody could say."""
        return [each for each in self.found if each.page is None or each.page.items]

    @property
    def late(self) -> list[str]:
        """Return the services in which something waits for too long."""
        return [service for service, waiting in self.queues.items() if waiting is not None and waiting.late]

    @property
    def calm(self) -> bool:
        """Tell whether nobody is needed for anything, and somebody would be reached if there were something: both are known."""
        reached = self.on_call is not None and bool(self.on_call["on_duty"]) and self.missing is not None
        return reached and not (self.missing or self.troubles or self.late or self.cannot_work)

    @property
    def cannot_work(self) -> list[str]:
        """Return the services that do not answer, or say that they cannot work."""
        return [service for service, problems in self.ready.items() if problems is None or problems]

    def person(self, who: str) -> str:
        """Return a person's name, where it is known."""
        known = [(self.on_call or {}).get(place) or {} for place in ("on_duty", "backup")]
        return next((str(each["name"]) for each in known if each.get("id") == who), who)

    @staticmethod
    def called(thing: Thing, item: Mapping[str, Any]) -> str:
        """Return what people call a thing: whose it is, or its number at its source, before the name that we gave it."""
        customer = [value(item, f"customer.{part}") for part in ("name", "phone", "email")]
        own = value(item, "external_id") if thing.noun in ("intake", "countdown") else None
        return ", ".join(str(each) for each in customer if each) or str(own or value(item, thing.id))

    @staticmethod
    def since(item: Mapping[str, Any]) -> str | None:
        """Return since when a person is needed for it."""
        times = ("opened_at", "failed_at", "received_at", "acknowledged_at", "state_since", "first_seen_at")
        return next((str(item[time]) for time in times if item.get(time)), None)


async def gather(suite: Suite) -> Now:
    """Ask everything at once."""
    found, on_call, coverage, ready, queues = await asyncio.gather(
        asyncio.gather(*(_find(suite, danger) for danger in DANGERS)),
        or_none(suite.get("notifier", "/admin/v1/on-call")),
        or_none(suite.get("notifier", "/admin/v1/coverage")),
        asyncio.gather(*(_ready(suite, service) for service in SERVICES)),
        asyncio.gather(*(waiting_in(suite, service) for service in SERVICES)),
    )
    missing = None if coverage is None else coverage["missing"]
    by_service = dict(zip(SERVICES, queues, strict=True))
    return Now(found, on_call, missing, dict(zip(SERVICES, ready, strict=True)), by_service)


async def _find(suite: Suite, danger: Danger) -> Found:
    try:
        return Found(danger, await danger.thing.page(suite, **danger.filter, limit=_SHOWN, count=True))
    except (RefusedError, UnreachableError) as error:
        return Found(danger, None, str(error))


async def _ready(suite: Suite, service: str) -> Sequence[str] | None:
    try:
        await suite.get(service, "/readyz")
    except RefusedError as error:
        return error.unready
    except UnreachableError:
        return None
    return []
