"""People who do not wish us well, at the console in front of the real services: texts with markup, and anything at every route."""

from __future__ import annotations

import asyncio
import html
import random
import re
import secrets
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

import aiohttp
import pytest
from pydantic import SecretStr
from yarl import URL

from common.service import running
from console.web.app import build
from console.web.screens import NAVIGATION
from console.web.settings import ConsoleSettings
from tests.e2e.trouble import GATEWAY, NOTIFIER, Trouble, at_once
from tests.support.console_browser import Browser, browsing
from tests.support.console_walk import go_everywhere
from tests.support.suite_client import TOTAL, Client, hook

EVIL = "<img src=x onerror=alert(1)>\"'{{7*7}}${7*7}&lt;script&gt;</title></textarea></script><b>"
"""What must stay text wherever it is shown."""
PHONE = "9265550199"
CUSTOMER = {"name": f"Злыдня {EVIL}", "phone": f"+7{PHONE}", "email": "zlydnya@mail.example"}
SECRETS = (PHONE, "Злыдня", "zlydnya")
ADDRESSES = {
    "order": "/o/",
    "crashed": "/w/",
    "delivery": "/d/",
    "endangered": "/e/",
    "refund": "/r/",
    "incident": "/i/",
    "ticket": "/t/",
}
REQUESTS = 700
AT_ONCE = 6
"""About twenty seconds on two cores."""


@dataclass(frozen=True)
class Known:
    """What there is, by kind, and the routes of the console."""

    things: dict[str, str]
    routes: list[tuple[str, str]]


@pytest.fixture
async def known(client: Client) -> Known:
    """Everything that a person is needed for, each text of it hostile; and the routes, as the application lists them."""
    urls: dict[str, Any] = {
        f"{service.replace('-', '_')}_url": client.suite.url(service)
        for service in ("webhook-gateway", "orchestrator", "tips", "refunds", "notifier")
    }
    settings = ConsoleSettings(port=0, session_key=SecretStr("k" * 40), **urls)
    async with running(build, settings) as application:
        router = application.server._app.router
        routes = [(route.method, route.resource.canonical) for route in router.routes() if route.resource is not None]
    return Known(await hostile_things(client), routes)


async def hostile_things(client: Client) -> dict[str, str]:
    """Bring about one thing of each kind, and have it say what nobody should believe."""
    trouble = Trouble(client)
    found = await at_once(
        {
            "crashed": trouble.crashed,
            "endangered": trouble.resubmittable,
            "refund": trouble.failed_refund,
            "ticket": trouble.ticket,
            "quarantined": trouble.quarantined,
        }
    )
    lines = [{"id": f"sku {EVIL}", "name": EVIL, "quantity": 2, "price": "85.00", "totalPrice": "170.00"}]
    told = {
        **dict.fromkeys(("comment", "zone", "tariff", "shipmentMethod", "replacementPolicy"), EVIL),
        "storeID": EVIL,
        "customer": CUSTOMER,
        "address": {"full_address": EVIL, "city": EVIL},
        "payment": {"method": EVIL},
        "positions": lines,
        "total": TOTAL,
    }
    external_id = f"evil {EVIL} {secrets.token_hex(4)}"
    status, said, _ = await client.hook(hook("created", external_id, at=datetime.now(UTC), **told))
    assert status == 200, said
    order = str(said["number"])
    cancelled = {"cancellation": {"slug": EVIL, "description": EVIL}}
    await client.hook(hook("cancelled", external_id, at=datetime.now(UTC), **cancelled))
    website = client.suite.url(GATEWAY) + "/api/v1/orders/"
    assert (await client.post(website, {**told, "externalId": external_id, "positions": EVIL}, role="website"))[
        0
    ] == 422
    alert = {
        "status": "firing",
        "labels": {"alertname": EVIL, "severity": "warning", "service": EVIL, EVIL: EVIL},
        "annotations": {"summary": EVIL, "description": EVIL, "runbook_url": f"javascript:{EVIL}"},
        "startsAt": datetime.now(UTC).isoformat(),
        "fingerprint": secrets.token_hex(8),
        "generatorURL": f"javascript:alert(1)//{EVIL}",
    }
    sent = {"version": "4", "status": "firing", "alerts": [alert]}
    status, said = await client.post(client.suite.url(NOTIFIER) + "/alerts/v1/alertmanager", sent, role="internal")
    assert status == 200, said
    delivery = await trouble.found(GATEWAY, "/admin/v1/deliveries", number=order)
    return {**found, "order": order, "delivery": delivery, "incident": str(said["incidents"][0])}


async def test_markup_of_customers_and_alerts_stays_text_on_every_screen(client: Client, known: Known) -> None:
    first = [f"{address}{quote(known.things[kind])}" for kind, address in ADDRESSES.items()]
    async with browsing(client.suite.url("console")) as browser:
        await browser.sign_in(client.suite.token("operator"))
        pages = await go_everywhere(browser, [*first, *(screen.path for screen in NAVIGATION)])
    assert sum("&lt;img src=x" in page for page in pages.values()) > 10, "it is shown, as text"
    for address, page in pages.items():
        assert "<img src=x" not in page, address
        assert "49" not in re.findall(r"Злыдня[^{]*?(\w+)\$", page), address
        assert not re.search(r'(?:href|action|src)="\s*(?:javascript|data):', page, re.IGNORECASE), address
        assert not re.search(r"<script(?![^>]* src=\"/static/)|<style|\sstyle=|\son[a-z]+=\"", page), address
        title = re.search(r"<title>(.*?)</title>", page, re.DOTALL)
        named = unquote(address) + html.unescape(title[1] if title else "")
        assert [secret for secret in SECRETS if secret in named] == [], address


ODD = [
    *(
        "",
        "0",
        "-1",
        "9" * 30,
        "9" * 5000,
        "\x00",
        "\ud800",
        "\u202e",
        "../../etc/passwd",
        "%00",
        "%",
        "//x",
        "NaN",
        "1e999",
    ),
    *("{", "[]", "null", "true", '{"a": 1}', "2026-13-45T99:99", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"),
    *(
        "x" * 9000,
        "a,b,,c",
        "now",
        "+2h",
        "-99999999999d",
        EVIL,
        PHONE,
        "open",
        "crashed",
        "workflow",
        "order",
        "endangered",
    ),
    *("retry", "refund", "mend", "resubmit", "override", "add", "set", "audit", "ru", "tips_service", "1" + "0" * 400),
]
NAMES = [
    *(
        "q",
        "to",
        "ids",
        "ids",
        "all",
        "service",
        "cursor",
        "at",
        "only",
        "limit",
        "reason",
        "kept",
        "plan",
        "done",
        "key",
    ),
    *("order", "state", "filter.state", "filter.from", "filter.order", "filter.limit", "field.until", "field.payload"),
    *(
        "field.amount",
        "field.positions.0.quantity",
        "field.match",
        "field.ends_at",
        "form_token",
        "token",
        "\x00",
        "since",
    ),
]


def asked_of(chance: random.Random, known: Known) -> tuple[str, str, list[tuple[str, str]], list[tuple[str, str]]]:
    """A route with its places filled in, a query and a form: each value odd, or the name of something there."""
    method, path = chance.choice(known.routes)
    real = list(known.things.values())

    def value() -> str:
        return chance.choice(real) if chance.random() < 0.3 else chance.choice(ODD)

    nouns = ["order", "workflow", "refund", "endangered", "intake", "incident", "silence", "ticket", "duty", "flag"]
    verbs = [
        "retry",
        "refund",
        "mend",
        "resubmit",
        "replay",
        "ack",
        "add",
        "comment",
        "override",
        "set",
        "close",
        "show",
    ]
    filled = {"noun": nouns, "verb": verbs}
    path = re.sub(r"\{(\w+)[^}]*\}", lambda place: quoted(chance.choice(filled.get(place[1], [value()]))), path)
    query = [(chance.choice(NAMES), value()) for _ in range(chance.randrange(4))]
    if chance.random() < 0.1:
        query *= 200
    return method, path, query, [(chance.choice(NAMES), value()) for _ in range(chance.randrange(7))]


def quoted(text: str) -> str:
    """As it stands in an address, whatever it is."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def form(fields: list[tuple[str, str]]) -> str:
    """As a browser sends it."""
    return "&".join(f"{quoted(name)}={quoted(value)}" for name, value in fields)


async def test_nothing_that_anybody_sends_makes_the_suite_fail(client: Client, known: Known) -> None:
    url = client.suite.url("console")
    chance = random.Random(secrets.randbits(32))  # noqa: S311 # a search, not a secret
    outcomes: Counter[int] = Counter()

    async def attack(browser: Browser) -> None:
        await browser.sign_in(client.suite.token("admin"))
        for _ in range(REQUESTS // AT_ONCE):
            method, path, query, fields = asked_of(chance, known)
            if path == "/sign-out":
                continue
            headers = {"Origin": url}
            data = None
            if method == "POST" or chance.random() < 0.05:
                await browser.get("/keys")
                token = re.search(r'name="form_token" value="([^"]*)"', browser.page)
                assert token is not None, browser.status
                data = form([("form_token", token[1]), ("reason", "anything"), *fields])
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            if chance.random() < 0.1:
                headers["Cookie"] = f"session={'x' * 7000}; language={quoted(chance.choice(ODD))[:1000]}"
            if chance.random() < 0.1:
                method = chance.choice(["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"])
            address = URL(f"{url}{path}?{form(query)}"[:7000], encoded=True)
            async with browser.session.request(
                method, address, data=data, headers=headers, allow_redirects=False
            ) as answer:
                if answer.content_type != "text/event-stream":
                    await answer.read()
                outcomes[answer.status] += 1
                assert answer.status < 500, (method, str(address)[:500], (data or "")[:500], await answer.text())

    async def one() -> None:
        async with browsing(url) as browser:
            await attack(browser)

    await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    assert outcomes[200] > REQUESTS // 10, outcomes
    for program in ("console", "webhook-gateway", "orchestrator", "notifier", "refunds", "tips"):
        lines = client.suite.logs(program)
        assert [line for line in lines if any(secret in str(line) for secret in SECRETS)] == [], program
        assert [line for line in lines if line.get("event") == "unhandled_error"] == [], program


async def test_a_session_is_never_one_that_somebody_else_began(client: Client) -> None:
    url = client.suite.url("console")
    async with browsing(url) as browser:
        await browser.get("/sign-in")
        before = {cookie.key: cookie.value for cookie in browser.session.cookie_jar}
        await browser.sign_in(client.suite.token("operator"))
        after = {cookie.key: cookie.value for cookie in browser.session.cookie_jar}
        assert before.get("session") != after["session"]
        for value in (before.get("session", ""), after["session"][:-4], after["session"] + "x", "x" * 4000):
            async with (
                aiohttp.ClientSession(cookies={"session": value}) as stranger,
                stranger.get(url + "/", allow_redirects=False) as answer,
            ):
                assert (answer.status, answer.headers["Location"].partition("?")[0]) == (303, "/sign-in")
