"""Addresses that messages link to: pages that a browser opens, whoever serves them.

Problems carry the path of a page (``/e/{id}``), so that where the pages are is decided in one place (``NOTIFIER_CONSOLE_URL``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import quote, urlsplit

from notifier.incidents.model import ProblemFact
from notifier.messages.document import Line, Span, one_line, plain
from notifier.messages.error_reports import reports_of
from notifier.messages.words import Words

Page: TypeAlias = Literal["i", "o", "w", "r", "d", "e", "t", "runbook"]
"""An incident, an order, a workflow, a refund, a delivery of a hook, an endangered order, a ticket; a runbook."""

_PATH = re.compile(r"/(?:i|o|w|r|d|e|t|runbook)/[^/?#\s]+")
_RUNBOOK = re.compile(r"(?:.*/)?docs/runbooks/([A-Za-z0-9_-]+)\.md(?:#.*)?")
_ADMIN = "/admin/v1/"
_LONGEST = 500  # a generator's address may hold a whole query; the incident itself keeps it


@dataclass(frozen=True, slots=True)
class Links:
    """Where the pages are; without an address (``None``) only what is absolute already is linked.

    ``tracker`` is where the outside tracker shows a ticket, with ``{}`` in place of its key; ``sentry`` is Sentry's list of issues.
    """

    base: str | None = None
    tracker: str | None = None
    sentry: str | None = None

    def page(self, page: Page, name: str | int) -> str | None:
        """Return the address of a page."""
        return None if self.base is None else f"{self.base.rstrip('/')}/{page}/{quote(str(name), safe='')}"

    def incidents(self) -> str | None:
        """Return the address of the list of incidents that are open."""
        return None if self.base is None else f"{self.base.rstrip('/')}/incidents?state=open"

    def ticket(self, key: str) -> str | None:
        """Return where a ticket is read: in the outside tracker, or on its page."""
        return self.page("t", key) if self.tracker is None else self.tracker.replace("{}", quote(key, safe=""))

    def resolve(self, link: str | None) -> str | None:
        """Return a problem's link as an address that a browser opens; None when it is none.

        A runbook's file in the repository is its page. An admin address answers JSON, and a relative one leads nowhere from a chat.
        """
        if link is None or len(link) > _LONGEST:
            return None
        if runbook := _RUNBOOK.fullmatch(link):
            return self.page("runbook", runbook[1])
        if _PATH.fullmatch(link):
            return None if self.base is None else self.base.rstrip("/") + link
        try:
            parts = urlsplit(link)
        except ValueError:
            return None
        opens = parts.scheme in {"http", "https"} and bool(parts.netloc) and _ADMIN not in parts.path
        return one_line(link) if opens else None


def path_of(fact: ProblemFact) -> str | None:
    """Return the path of the page of what a problem is about, besides its order; None when it has none of its own."""
    if fact.link is not None and _PATH.fullmatch(fact.link):
        return fact.link
    if fact.kind.startswith("workflow."):
        return f"/w/{fact.fingerprint.rpartition(':')[2]}"
    refund = fact.details.get("refund_id")
    return None if refund is None else f"/r/{quote(refund, safe='')}"


def page_of(fact: ProblemFact) -> str | None:
    """Return the path of the page of what a problem is about: its own, else that of its order; None when neither is known."""
    if (own := path_of(fact)) is not None or fact.order_number is None:
        return own
    return f"/o/{quote(fact.order_number, safe='')}"


def links_of(fact: ProblemFact, incident_id: int, *, links: Links, words: Words, runbook: str | None = None) -> Line:
    """Return the line of a problem's links: its incident, what it is about, what its sender linked, its runbook, reports of errors."""
    found: dict[str, str] = {}
    if (incident := links.page("i", incident_id)) is not None:
        found[incident] = f"{words['page.i']} {incident_id}"
    for link in (path_of(fact), fact.link, runbook):
        address = links.resolve(link)
        if address is not None:
            found.setdefault(address, _label(address, links, words))
    if (reports := reports_of(fact, links.sentry)) is not None:
        found.setdefault(reports, "Sentry")
    spans: list[Span] = []
    for address, label in found.items():
        spans += [plain(" · ")] if spans else []
        spans.append(Span(label, "plain", address))
    return tuple(spans)


def _label(address: str, links: Links, words: Words) -> str:
    inside = links.base is not None and address.startswith(links.base.rstrip("/") + "/")
    path = address.removeprefix((links.base or "").rstrip("/")) if inside else ""
    return words[f"page.{path.split('/')[1]}"] if _PATH.fullmatch(path) else words["link"]
