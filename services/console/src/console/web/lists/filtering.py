"""Which filters stand in a list's address: all that the service has, but those that hold a customer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from console.client.acts import ACTS, Act, act_of
from console.client.operations import SERVICES, Field, Operation, operation, operations
from console.client.suite import Page, Suite
from console.client.things import EVERYWHERE, Thing

PRIVATE = frozenset({"q", "phone", "email", "name", "address", "ip"})
"""Never in an address: what finds a customer is sent in a form (Find)."""
ALL = "all"
"""The field of an operation that may be done to everything there is."""
_ERASE, _ERASURES = "customer erase", "/admin/v1/erasures"
_OF_PAGES = frozenset({"limit", "cursor", "count"})


def list_operation(thing: Thing) -> Operation:
    """Return the operation that lists a kind of thing."""
    return operation(thing.service, f"GET {thing.list}")


def filters(thing: Thing) -> tuple[Field, ...]:
    """Return what a list may be filtered by."""
    return tuple(field for field in list_operation(thing).query if field.name not in PRIVATE | _OF_PAGES)


def chosen(thing: Thing, given: Mapping[str, str], *, zone: str) -> dict[str, str]:
    """Return the filters of an address that the list knows and that say something; times without a zone are in ``zone``."""
    known = {field.name: field for field in filters(thing)}
    found = {name: text.strip() for name, text in given.items() if name in known and text.strip()}
    return {name: _moment(text, zone) if is_time(known[name]) else text for name, text in found.items()}


def is_time(field: Field) -> bool:
    """Tell whether a filter is a time."""
    return field.rules.get("format") == "date-time"


def _moment(text: str, zone: str) -> str:
    """Return a time as services take it; what is none stays as it is, for the service to say so."""
    try:
        return moment_of(text, zone=zone)
    except (ValueError, OverflowError):
        return text


def moment_of(text: str, *, zone: str) -> str:
    """Return a time as services take it; without a zone it is in ``zone``. Raises ``ValueError`` or ``OverflowError`` for what is none."""
    moment = datetime.fromisoformat(text)
    return text if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone)).isoformat()


async def read_page(suite: Suite, thing: Thing, wanted: Mapping[str, Any], **paging: Any) -> Page:
    """Return a page of a list; short lists come whole and take no paging."""
    known = {field.name for field in list_operation(thing).query}
    return await thing.page(suite, **wanted, **{name: given for name, given in paging.items() if name in known})


def acts_of(noun: str, service: str | None = None) -> tuple[Act, ...]:
    """Return what can be done to any thing of a kind that exists: not what only some of them offer."""
    if noun in EVERYWHERE:
        return (
            tuple(act_of(f"{noun} {verb}", service) for verb in ("replay", "mend", "dismiss"))
            if noun == "dead-letter"
            else ()
        )
    return tuple(act for act in ACTS.values() if act.noun == noun and act.named and act.place is None)


def creating(noun: str) -> tuple[Act, ...]:
    """Return what makes a new thing of a kind, or is done to none in particular."""
    return tuple(act for act in ACTS.values() if act.noun == noun and not act.named)


def erasing() -> tuple[Act, ...]:
    """Return the erasure of a customer's data in each service that holds some."""
    return tuple(act_of(_ERASE, each) for each in SERVICES if (each, "POST", _ERASURES) in operations())


def covers(act: Act, filter_names: frozenset[str]) -> bool:
    """Tell whether an act can be done to all that a filter matches: it works by a plan and knows each of the filter's fields.

    Without a filter only what the service does to all there are.
    """
    if act.by_plan is None or not filter_names:
        return act.by_plan is not None and act.by_plan.takes(ALL)
    return filter_names <= {field.name for field in act.by_plan.filter}
