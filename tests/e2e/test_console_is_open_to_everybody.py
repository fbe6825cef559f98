"""Every screen of the console, with something in every list, for whoever uses it: two languages, two themes, phone and desk."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pytest

from console.client.acts import ACTS
from console.client.things import EVERYWHERE, THINGS, thing_of, value
from console.web.change.forms import inputs
from console.web.links import address_of
from console.web.screens import NAVIGATION, list_path
from tests.e2e.browsers import open_chromium, signed_in
from tests.e2e.trouble import Trouble, at_once
from tests.support.chromium import DESK, complaints
from tests.support.suite_client import Client

_NOT_THERE = ("/nowhere", "/o/nobody")
_OTHER = ("/keys", "/more", "/runbook/notifier-down", *_NOT_THERE, "/find?q=nobody")
_ROLES: dict[Literal["ru", "en"], str] = {"ru": "admin", "en": "operator"}
"""Viewers' pages, plans, errors and what a session's end leaves are looked at before services that stand in."""
_EMPTY = {"stock-movement", "unread-alert", "unarrived", "countdown", "alert-sender"}
"""Lists that hold something only while something is broken that other tests break, or where a Watchdog is expected."""


@pytest.mark.timeout(600)
async def test_every_screen_with_something_on_it_is_open_to_everybody(client: Client) -> None:
    trouble = Trouble(client)
    makers = {name: getattr(trouble, name) for name in _TROUBLES}
    made = await at_once({**makers, "dead letter": lambda: trouble.dead_letter("orchestrator")})
    addresses = [*_menu(), *await _things(client), *_forms(made)]
    async with open_chromium() as chromium:
        found = await asyncio.gather(*(_look(chromium, client, language, addresses) for language in _ROLES))
    assert [each for one in found for each in one] == []


_TROUBLES = (
    *("new_order", "crashed", "stopped", "failed_event", "parked", "quarantined", "endangered", "resubmittable"),
    *(
        "banned_phone",
        "paid_refund",
        "strange_refund",
        "incident",
        "crash_told",
        "ticket",
        "silence",
        "override",
        "known_defect",
        "order",
    ),
)


def _menu() -> Iterator[str]:
    yield from (screen.path for screen in NAVIGATION)
    yield from _OTHER


async def _things(client: Client) -> Sequence[str]:
    """The list of each kind of thing that has one of its kind, and the page of the first."""
    addresses: list[str] = []
    for noun in (*THINGS, *EVERYWHERE):
        service = "orchestrator" if noun in EVERYWHERE else None
        thing = thing_of(noun, service)
        page = await client.get(thing.service, thing.list, role="operator")
        items = page["items"] if isinstance(page, dict) else page
        assert items or noun in _EMPTY, noun
        addresses.append(list_path(noun))
        links = [address_of(noun, value(item, thing.id), service=service) for item in items]
        addresses += [link for link in links if link][:1]
    return addresses


def _forms(made: dict[str, str]) -> Iterator[str]:
    """Forms with every kind of input between them, and one that is chosen for many."""
    seen: set[str] = set()
    for act in ACTS.values():
        kinds = {each.kind for each in inputs(act)}
        if kinds - seen:
            seen |= kinds
            yield f"/change/{act.noun}/{act.verb}" + (f"?ids={made['new_order']}" if act.named else "")
    yield "/change/workflow/retry?all=1&filter.state=crashed"
    yield f"/i/{made['crash_told']}"


async def _look(chromium: Any, client: Client, language: Literal["ru", "en"], addresses: Sequence[str]) -> list[str]:
    found: list[str] = []
    async with signed_in(
        chromium, client, _ROLES[language], locale=language, color_scheme="light", viewport=DESK
    ) as page:
        for address in addresses:
            answer = await page.goto(client.suite.url("console") + address, wait_until="domcontentloaded")
            assert answer is not None
            assert (answer.status == 200) == (address not in _NOT_THERE), (address, answer.status)
            assert await page.locator("html").get_attribute("lang") == language
            said = await complaints(page, dark_at_the_desk=language == "en", once=True)
            found += [f"{language} {address}: {each}" for each in said]
    return found
