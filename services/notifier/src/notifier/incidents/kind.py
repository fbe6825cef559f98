"""What is said of a kind of problem: the columns of ``incidents/kinds.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from notifier.incidents.model import ProblemFact, RecipeName, Severity
from notifier.messages.links import Page

Producer = Literal["webhook-gateway", "orchestrator", "refunds", "notifier", "every service", "Alertmanager", "Sentry"]
Queue = Literal["operators", "development"]
"""Whose queue: ``TRAVELORDERSUP``, or that of ``NOTIFIER_DEVELOPMENT_QUEUE``."""


@dataclass(frozen=True, slots=True)
class Without:
    """Why no ticket is opened, in both languages; ``when_grave``: one is, if it is critical or requests fail."""

    ru: str
    en: str
    when_grave: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of problem. ``one``: what is one problem; ``call``: the operator phones the person on duty; ``ru``, ``en``: what to do.

    ``page``: what its notice links, besides the incident; ``runbook``: the page of ``docs/runbooks`` that it links, ``{service}`` in it
    is who raised it. A ticket is opened in ``queue`` unless it is ``without``.
    """

    by: Producer
    severity: Severity | Literal["its own"]
    one: str
    ru: str
    en: str
    page: Page | None = None
    runbook: str | None = None
    call: bool = False
    recipe: RecipeName | None = None
    queue: Queue = "operators"
    without: Without | None = None

    def opens_ticket(self, fact: ProblemFact) -> bool:
        """Whether such a problem opens a ticket."""
        if self.without is None:
            return True
        return self.without.when_grave and (fact.severity == "critical" or "request" in fact.details)
