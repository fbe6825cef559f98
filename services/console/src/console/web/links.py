"""Where things stand in the console: the short address of one, and of the fields that name another."""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode

from console.client.things import THINGS, thing_of

LINKS = {
    "order_number": "order",
    "number": "order",
    "workflow_id": "workflow",
    "incident_id": "incident",
    "refund_id": "refund",
    "delivery_id": "intake",
    "endangered_id": "endangered",
    "replay_of": "intake",
    "ticket": "ticket",
    "payment_id": "payment",
    "unread": "unread-alert",
}
"""Fields of other things that name one of this kind."""
_OWN_DELIVERIES = frozenset({"message"})
"""Kinds whose ``delivery_id`` is something else: the messenger's own."""
_DIALLED = re.compile(r"\+?[0-9][0-9 ()-]{4,24}")
"""A phone as people write it; one that is masked, or no number, is not called."""


def address_of(noun: str, name: object, *, service: str | None = None) -> str | None:
    """Return the short address of one thing; None where there is only the list, or while the thing has no name yet."""
    thing = thing_of(noun, service) if service or noun in THINGS else None
    if thing is None or thing.one is None or name in (None, ""):
        return None
    written = quote(str(name), safe="")
    if thing.address is not None:
        return thing.address.replace("{id}", written)
    return f"/one/{noun}/{written}" + (f"?{urlencode({'service': service})}" if service else "")


def link_of(field: str, name: object, *, within: str) -> str | None:
    """Return where a field's value leads, None when it names nothing. ``within``: the kind of thing it stands in. A phone is called."""
    if field == "phone" and isinstance(name, str) and _DIALLED.fullmatch(name):
        return "tel:" + re.sub(r"[^+0-9]", "", name)
    noun = LINKS.get(field)
    if (
        noun is None
        or name in (None, "")
        or isinstance(name, (dict, list))
        or (field == "delivery_id" and within in _OWN_DELIVERIES)
    ):
        return None
    return address_of(noun, name)
