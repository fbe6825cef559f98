"""Going through the console by its links."""

from __future__ import annotations

import html
import re
from collections import deque

from console.client.things import EVERYWHERE, THINGS
from console.web.headers import HEADERS
from console.web.screens import NAVIGATION, list_path
from tests.support.console_browser import Browser

MOST = 150
SAME = re.compile(r"^(/[a-z-]*)/?.*$")
"""The kind of page that an address leads to."""
MOST_OF_A_KIND = 6


async def go_everywhere(browser: Browser, first: list[str]) -> dict[str, str]:
    """Follow links of the console, the first of each kind of page; return what the pages were."""
    seen: dict[str, str] = {}
    waiting, known, kinds = deque(first), set(first), dict[str, int]()
    while waiting and len(seen) < MOST:
        address = waiting.popleft()
        page = seen[address] = await browser.get(address)
        assert browser.status < 500, address
        assert {name: browser.headers.get(name) for name in HEADERS} == HEADERS, address
        for found in re.findall(r'href="(/[^"]*)"', page):
            link = html.unescape(found)
            kind = SAME.sub(r"\1", link)
            if link in known or link.startswith(("/static", "/sign-", "/calendar")):
                continue
            known.add(link)
            kinds[kind] = kinds.get(kind, 0) + 1
            if kinds[kind] <= MOST_OF_A_KIND:
                waiting.append(link)
    return seen


def addresses() -> list[str]:
    """Every page that needs nothing filled in; every single thing is called EVIL."""
    lists = [list_path(noun) for noun in (*THINGS, *EVERYWHERE)]
    ones = [thing.address.replace("{id}", "EVIL") for thing in THINGS.values() if thing.address]
    return [
        *(screen.path for screen in NAVIGATION),
        *lists,
        *ones,
        "/keys",
        "/runbook/notifier-down",
        "/one/flag/EVIL",
        "/tips?order=N",
        "/refunds?order=N",
        "/w/EVIL/mend/5-2",
        "/audit?actor=EVIL&from=2026-11-01T00:00",
        "/messages/routes?kind=order.created",
        "/incidents?by=service",
    ]
