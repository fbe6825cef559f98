"""One box for whatever a person has: asks every service that may know it, and says of each thing found what it is.

A number, an external id, a phone, a mail, a name, a payment, a refund, an incident, a ticket, a workflow or its event, a delivery, a
countdown, a silence, a known defect, a ban, a sender of alerts, an alert that was not read, an override of the roster, a trace.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from console.client.suite import RefusedError, Suite, UnreachableError
from console.client.things import THINGS, Thing

_PHONE = re.compile(r"\+?[\d\s()-]{7,20}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TICKET = re.compile(r"[A-Z]{2,}-\d+")
_NUMBER = re.compile(r"\d{1,18}")
_EVENT = re.compile(r"\d{1,18}-\d{1,9}")
_BAN = re.compile(r"[0-9a-f]{64}")
_OF_ORDER = re.compile(r"[0-9A-HJKMNP-TV-Z]{16}", re.IGNORECASE)
_NUMBERED = ("workflow", "incident", "silence", "known-defect", "unread-alert", "alert-sender", "duty")
"""Kinds whose names are numbers."""
_TRACE = re.compile(r"(?:00-)?([0-9a-f]{32})(?:-[0-9a-f]{16}-[0-9a-f]{2})?")
_EACH = 5
_TIMES = ("created_at", "received_at", "opened_at", "state_since", "updated_at")
_OF_TRACES = ("intake", "message")
# What a list is asked for when a person has only words: the query that the kind knows.
_BY_WORDS = {
    "order": "q",
    "intake": "q",
    "endangered": "q",
    "refund": "order",
    "incident": "order",
    "ticket": "order",
    "workflow": "order_number",
}


@dataclass(frozen=True, slots=True)
class Found:
    """A thing that fits. ``thing.state_of(item)`` says its state, ``thing.address`` where the console shows it."""

    thing: Thing
    item: Mapping[str, Any]

    @property
    def name(self) -> str:
        """By what it is known."""
        return str(self.item.get(self.thing.id))

    @property
    def at(self) -> str | None:
        """When it came to be, as both tools say it: later moments of it change while one looks."""
        return next((self.item[name] for name in _TIMES if self.item.get(name)), None)


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found, orders first, and the services that could not be asked."""

    found: tuple[Found, ...]
    silent: tuple[str, ...] = ()


async def find(suite: Suite, words: str) -> Findings:
    """Look everywhere at once. A service that does not answer hides nothing of the others; one that forbids it raises ``RefusedError``."""
    words = words.strip()
    asked = [_list(suite, noun, query) for noun, query in _queries(words)]
    asked += [_read(suite, noun, words) for noun in _named(words)]
    if trace := _TRACE.fullmatch(words.lower()):
        asked += [*(_list(suite, noun, {"trace": trace[1]}) for noun in _OF_TRACES), _workflows(suite, trace[1])]
    found: dict[tuple[str, str], Found] = {}
    silent = set()
    for answer in await asyncio.gather(*asked):
        if isinstance(answer, UnreachableError):
            silent.add(answer.service)
            continue
        for one in answer:
            found.setdefault((one.thing.noun, one.name), one)
    order = list(THINGS)
    return Findings(tuple(sorted(found.values(), key=lambda one: order.index(one.thing.noun))), tuple(sorted(silent)))


def _queries(words: str) -> list[tuple[str, Mapping[str, Any]]]:
    if "@" in words:
        return [(noun, {"email": words}) for noun in ("order", "endangered")]
    by_words: list[tuple[str, Mapping[str, Any]]] = [(noun, {name: words}) for noun, name in _BY_WORDS.items()]
    by_words += [("order", {"payment_id": words}), ("refund", {"payment": words}), ("payment", {"payment": words})]
    by_words.append(("incident", {"alert": words}))
    if _PHONE.fullmatch(words):
        by_words += [(noun, {"phone": words}) for noun in ("order", "endangered")]
    return by_words


def _named(words: str) -> tuple[str, ...]:
    """Kinds of things whose own names look like this."""
    if _UUID.fullmatch(words):
        return ("refund", "intake", "endangered")
    if _TICKET.fullmatch(words):
        return ("ticket",)
    if _NUMBER.fullmatch(words):
        return _NUMBERED
    if _EVENT.fullmatch(words):
        return ("event",)
    if _BAN.fullmatch(words):
        return ("limit",)
    return ("order", "countdown") if _OF_ORDER.fullmatch(words) else ("order",)


async def _list(suite: Suite, noun: str, query: Mapping[str, Any]) -> list[Found] | UnreachableError:
    thing = THINGS[noun]
    try:
        page = await thing.page(suite, **query, limit=_EACH)
    except (RefusedError, UnreachableError) as error:
        return _nothing(error)
    return [Found(thing, item) for item in page.items]


async def _read(suite: Suite, noun: str, name: str) -> list[Found] | UnreachableError:
    thing = THINGS[noun]
    try:
        return [Found(thing, await thing.read(suite, name))]
    except (RefusedError, UnreachableError) as error:
        hidden = isinstance(error, RefusedError) and error.status == HTTPStatus.FORBIDDEN
        return [] if hidden else _nothing(error)  # of several kinds that may have this name, one that she may not read


async def _workflows(suite: Suite, trace: str) -> list[Found] | UnreachableError:
    """Events have no page of their own: what is found are their workflows."""
    events = await _list(suite, "event", {"trace": trace})
    if isinstance(events, UnreachableError):
        return events
    found: list[Found] = []
    for name in dict.fromkeys(str(event.item["workflow_id"]) for event in events):
        workflow = await _read(suite, "workflow", name)
        if isinstance(workflow, UnreachableError):
            return workflow
        found += workflow
    return found


def _nothing(error: RefusedError | UnreachableError) -> list[Found] | UnreachableError:
    """What is no fitting word for a service is nothing found there; what a person may not see is said."""
    if isinstance(error, UnreachableError):
        return error
    if error.status in (401, 403):
        raise error
    if error.status >= 500:
        return UnreachableError(error.service, "", error.detail)
    return []
