"""What the notifier holds of a customer, and how it is erased (``common.service.erasure_routes``)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from common.service import Erase, TextPlace, erase_dead_letters, erase_texts
from notifier.messages.document import Document, Section, plain

_ERASED = "Данные покупателя удалены"
_OF_INCIDENT = "t.incident_id IN (SELECT i.id FROM incidents AS i WHERE i.order_number = $1)"
_ENDED = (
    "NOT EXISTS (SELECT FROM deliveries AS d WHERE d.notice_id = t.id AND d.state NOT IN ('sent', 'failed', 'dropped'))"
)


_SENT_THERE = "t.outside NOT IN ('pending', 'creating', 'sending')"  # until then it is told apart by its text
_SAID = """
t.act NOT IN ('ack_expired', 'call_answered', 'call_failed', 'called', 'failover', 'held', 'nobody', 'recipe_asked', 'reminded', 'silenced')
"""
"""Lines in which people, or services of theirs, say something: the others only name our people, chats, recipes and silences."""


def _erased(text: str) -> str:
    """Return what stays of a text that people wrote about an order: nobody can tell whose names stand in it."""
    return text and _ERASED


def _without_sections(document: Any) -> Any:
    """Return a notice that says only what it was about: a message that is edited later shows that."""
    if not isinstance(document, dict):
        return document
    try:
        title = Document.from_json(document).title
    except (KeyError, TypeError, ValueError):
        return None
    return Document(title=title, sections=(Section(lines=((plain(_ERASED),),)),)).to_json()


PLACES: Mapping[str, Erase] = {
    "notices": partial(
        erase_texts,
        place=TextPlace(
            table="notices",
            columns=("document",),
            of_order="t.order_number = $1",
            among=f"t.document IS NOT NULL AND {_ENDED}",
            blank=_without_sections,
        ),
    ),
    "incidents": partial(
        erase_texts, place=TextPlace(table="incidents", columns=("summary", "details"), of_order="t.order_number = $1")
    ),
    "incident_history": partial(
        erase_texts,
        place=TextPlace(table="incident_history", columns=("text",), of_order=_OF_INCIDENT, among=_SAID, blank=_erased),
    ),
    "tickets": partial(
        erase_texts,
        place=TextPlace(
            table="tickets",
            columns=("summary", "description"),
            of_order=f"t.order_number = $1 OR {_OF_INCIDENT}",
            among=_SENT_THERE,
            blank=_erased,
        ),
    ),
    "ticket_comments": partial(
        erase_texts,
        place=TextPlace(
            table="ticket_comments",
            columns=("text",),
            of_order=f"t.ticket_id IN (SELECT t.id FROM tickets AS t WHERE t.order_number = $1 OR {_OF_INCIDENT})",  # noqa: S608 - constants
            among=_SENT_THERE,
            blank=_erased,
        ),
    ),
    "recipe_requests": partial(
        erase_texts,
        place=TextPlace(
            table="recipe_requests",
            columns=("reason", "result"),
            of_order=_OF_INCIDENT,
            blank=_erased,
            among="t.ended_at IS NOT NULL",  # until then it is said again, the same, to the service
        ),
    ),
    "dead_letters": erase_dead_letters,
}
"""By kind, in the order in which they are asked."""

KEPT = {
    "chats": "what was sent to a chat or mailed stays there; phones and mails in it were masked when it was written",
    "outside_tickets": "tickets in an outside tracker are erased there",
    "notices_on_their_way": "a notice that is still to be sent is left as it is, and so are a ticket and a comment on their way to an "
    "outside tracker; erase again when they were",
}
"""What stays, and why."""
