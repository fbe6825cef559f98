"""What the audit of all services is asked for, and its news: one list, whoever keeps the records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.client.audit import Record, audited, newest
from console.client.suite import Page, Suite
from console.client.things import EVERYWHERE, Thing
from console.web.lists.filtering import moment_of

EVERY = Thing(
    noun="audit", service="orchestrator", list=EVERYWHERE["audit"][0], id="name", columns=EVERYWHERE["audit"][1]
)
"""A record of any service; its name says whose."""
EXACT = ("actor", "order", "action", "target")
FILTERS = (*EXACT, "from", "to", "service")


def named(record: Record) -> Record:
    """Return a record with a name that no other service's has."""
    return {"name": f"{record['service']}:{record['id']}", **record}


def question(wanted: Mapping[str, str], *, zone: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return whom to ask what. Times without a zone are in ``zone``; raises ``ValueError`` or ``OverflowError`` for what is no time."""
    services = tuple(each for each in audited() if wanted.get("service") in (None, each))
    query: dict[str, Any] = {name: wanted[name] for name in EXACT if name in wanted}
    for name in ("from", "to"):
        if name in wanted:
            query[name] = moment_of(wanted[name], zone=zone)
    return services, query


async def read_newest(suite: Suite, _: Thing, wanted: Mapping[str, Any], *, limit: int) -> Page:
    """Return the newest records of all services that are asked, as a page of a list."""
    services, query = question(wanted, zone="UTC")
    return Page([named(each) for each in await newest(suite, services, limit=limit, **query)])
