"""The console as it runs, before a small server that answers for the five services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from common.http import HttpServer
from common.service import running
from console.client.things import EVERYWHERE, THINGS, thing_of
from console.web.app import build
from console.web.settings import ConsoleSettings
from tests.support.console_browser import Browser, browsing
from tests.unit.console.web.factories import (
    EVIL,
    GROUP,
    INCIDENT,
    LINE,
    MESSAGE,
    ORDER,
    TRIAL,
    Services,
    evil,
    hostile_answers,
)


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    """The five services, all at one address."""
    known = Services()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", known.answer)
    async with HttpServer(app, "127.0.0.1", 0) as server:
        known.url = server.url
        yield known


@pytest.fixture
def settings(services: Services) -> ConsoleSettings:
    """Settings of a console on this machine."""
    urls: dict[str, Any] = dict.fromkeys(
        ("webhook_gateway_url", "orchestrator_url", "tips_url", "refunds_url", "notifier_url"), services.url
    )
    return ConsoleSettings(port=0, session_key=SecretStr("k" * 40), language="en", poll_seconds=0.05, **urls)


@pytest.fixture
async def url(settings: ConsoleSettings) -> AsyncIterator[str]:
    """A running console's address."""
    async with running(build, settings) as application:
        yield application.url


@pytest.fixture
async def browser(url: str) -> AsyncIterator[Browser]:
    """Somebody's browser."""
    async with browsing(url) as opened:
        yield opened


@pytest.fixture
def hostile(services: Services) -> Services:
    """Services whose every text is hostile."""
    kinds = [*THINGS.values(), *(thing_of(noun, "orchestrator") for noun in EVERYWHERE)]
    for thing in kinds:
        item = evil((*thing.columns, *thing.wide))
        services.answers[f"GET {thing.list}"] = (200, {"items": [item], "next_cursor": "more", "count": 1})
        if thing.one is not None:
            one = thing.one.replace("{id}", "EVIL").replace("{key}", "EVIL")
            services.answers[f"GET {one}"] = (200, {**item, "nested": {"deep": [EVIL]}, "lines": [item]})
    services.answers["GET /orders/v1/orders/EVIL"] = (200, ORDER)
    services.answers["GET /admin/v1/orders/EVIL/timeline"] = (200, {"items": [LINE], "next_cursor": None})
    services.answers["GET /admin/v1/incidents/EVIL"] = (200, INCIDENT)
    services.answers["GET /admin/v1/incidents"] = (200, {"items": [INCIDENT], "count": 1, "next_cursor": None})
    silence = {**evil(("created_by", "reason")), "id": 4, "match": {EVIL: [EVIL]}, "ends_at": "2026-11-30T10:00:00Z"}
    services.answers["GET /admin/v1/silences"] = (200, {"items": [silence], "next_cursor": None, "count": 1})
    services.answers["GET /admin/v1/notifications"] = (200, {"items": [MESSAGE], "next_cursor": None, "count": 1})
    services.answers["GET /admin/v1/notifications/EVIL"] = (200, {**MESSAGE, "deliveries": [MESSAGE]})
    services.answers["GET /admin/v1/incident-groups"] = (200, {"by": "kind", "count": 2, "items": [GROUP]})
    services.answers["POST /admin/v1/routes/dry-run"] = (200, TRIAL)
    services.answers["GET /admin/v1/on-call"] = (
        200,
        {
            "confirmed": False,
            "on_duty": {"id": EVIL, "name": EVIL, "phone": EVIL},
            "backup": {"name": EVIL},
            "until": None,
            "next": {"on_duty": EVIL},
        },
    )
    services.answers["GET /admin/v1/people"] = (200, {"people": [{"id": EVIL, "name": EVIL}]})
    shift = {"starts_at": "2026-11-29T10:00:00Z", "ends_at": "2026-12-06T10:00:00Z", "on_duty": EVIL, "backup": None}
    override = {**shift, "id": 3, "place": EVIL, "person": EVIL}
    roster = {"shifts": [shift, {**shift, "on_duty": None}], "overrides": [override], "gaps": []}
    services.answers["GET /admin/v1/roster"] = (200, roster)
    flag = {**evil(("name", "updated_by")), "enabled": True, "percent": 5.0, "share": 500, "updated_at": None}
    services.answers["GET /admin/v1/flags"] = (200, {"items": [flag]})
    explained = {
        "order": {"currency": "RUB", "cost": 5, "zone": EVIL},
        "steps": [{"rule": EVIL, "detail": EVIL}],
        "hold": EVIL,
    }
    services.answers["GET /admin/v1/explain"] = (200, explained)
    ledger = {"received": 5, "confirmed": 3, "spooled": 1, "quarantined": 0, "refused": 0, "difference": 1}
    of_source = {**ledger, "source": EVIL}
    refused = {"source": EVIL, "reason": EVIL, "count": 2}
    services.answers["GET /admin/v1/ledger"] = (200, {**ledger, "by_source": [of_source], "refused_for": [refused]})
    services.answers |= hostile_answers()
    services.answers["GET /admin/v1/coverage"] = (200, {"covered": False, "missing": [EVIL, {EVIL: EVIL}]})
    return services
