"""Every route of the console, as the application itself lists them: who may send a form, what is never answered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from common.http import HttpServer
from common.service import running
from console.web.app import build
from console.web.headers import HEADERS
from console.web.settings import ConsoleSettings
from tests.support.console_browser import Browser, browsing
from tests.unit.console.web.factories import Services

MACHINES = {"/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/admin/v1/whoami"}
FILLED = {"noun": "workflow", "verb": "retry", "name": "7", "filename": "console.css"}
PHONE = "+79990001122"
LEDGER = dict.fromkeys(("received", "confirmed", "spooled", "quarantined", "refused", "difference"), 0)
STATED: dict[str, Any] = {
    "GET /admin/v1/ledger": (200, {**LEDGER, "by_source": [], "refused_for": []}),
    "GET /admin/v1/coverage": (200, {"covered": True, "missing": []}),
}
"""What services answer that is no list."""


@dataclass(repr=False)
class Everything:
    """A console, all its routes, and somebody with every right in front of it."""

    browser: Browser
    services: Services
    routes: list[tuple[str, str]] = field(default_factory=list)

    def of(self, method: str) -> list[str]:
        """Addresses of all pages or forms, filled in."""
        return [
            re.sub(r"\{(\w+)(?::[^}]*)?\}", lambda name: FILLED.get(name[1], "x"), path)
            for known, path in self.routes
            if known == method and path not in MACHINES
        ]


@pytest.fixture
async def everything(settings: ConsoleSettings, services: Services) -> AsyncIterator[Everything]:
    """The routes are those of the application that serves."""
    async with running(build, settings) as application, browsing(application.url) as browser:
        services.answers |= STATED
        await browser.sign_in("token-admin")
        router = application.server._app.router
        routes = [(route.method, route.resource.canonical) for route in router.routes() if route.resource is not None]
        yield Everything(browser, services, routes)


async def test_no_form_of_any_route_is_taken_from_elsewhere(everything: Everything) -> None:
    browser, forms = everything.browser, everything.of("POST")
    assert {"/sign-in", "/sign-out", "/language", "/again", "/find", "/apply", "/watch", "/next"} <= set(forms)
    genuine = browser.page
    for path in forms:
        everything.services.calls.clear()
        for origin, token in (
            *((origin, None) for origin in ("https://evil.example", "null", None, browser.url + ".evil.example")),
            *(("own", token) for token in ("", "guessed", "\udcff")),
        ):
            browser.page = genuine
            sent = {"reason": "<b>typed</b>", "kept": '{"path": "/apply", "fields": []}', "token": "token-viewer"}
            if token is not None:
                sent["form_token"] = token.encode("utf-8", "surrogateescape").decode("latin-1")
            await browser.post(path, origin=origin, **sent)
            assert (path, origin, token, browser.status) == (path, origin, token, 403)
            assert "<b>typed" not in browser.page
            assert ("typed" in browser.page) <= (origin == "own"), "another site's form is not even repeated"
            assert "Set-Cookie" not in browser.headers
        assert everything.services.calls == [], path
    await browser.get("/orders")
    assert browser.path == "/orders"


async def test_no_page_is_shown_and_no_form_taken_before_signing_in(everything: Everything) -> None:
    open_to_all = {"/sign-in", "/sign-out", "/language", "/again"}
    everything.services.calls.clear()
    async with browsing(everything.browser.url) as stranger:
        for path in everything.of("GET"):
            await stranger.get(path)
            sealed = (
                path.startswith("/calendar/") and stranger.status == 404
            )  # nobody guesses the seal of a calendar's link
            assert sealed or stranger.path == "/sign-in" or path.startswith(("/static", "/sign-in/")), path
        for path in everything.of("POST"):
            await stranger.get("/sign-in")
            await stranger.post(path)
            assert path in open_to_all or stranger.status == 401, path
    assert everything.services.calls == []


@pytest.mark.parametrize("token", ["token-internal", "token-admin", "nobodys"])
async def test_a_token_in_a_header_opens_no_page_and_no_machine_signs_in(everything: Everything, token: str) -> None:
    """As a callee the console knows sessions of people only: it holds no tokens, and asks nobody about one that is sent along."""
    open_to_all = {"/sign-in", "/sign-out", "/language", "/again"}
    everything.services.readers.clear()
    async with browsing(everything.browser.url) as stranger:
        stranger.session.headers["Authorization"] = f"Bearer {token}"
        for path in everything.of("GET"):
            await stranger.get(path)
            sealed = path.startswith("/calendar/") and stranger.status == 404
            assert sealed or stranger.path == "/sign-in" or path.startswith(("/static", "/sign-in/")), path
        for path in everything.of("POST"):
            await stranger.get("/sign-in")
            await stranger.post(path)
            assert path in open_to_all or stranger.status == 401, path
        assert everything.services.readers == []
        assert await _status(stranger, "/admin/v1/whoami") == 401
        if token != "token-admin":
            await stranger.sign_in(token)
            assert (stranger.path, stranger.status) == ("/sign-in", 401)
            await stranger.get("/orders")
            assert stranger.path == "/sign-in"


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
async def test_every_call_of_every_page_goes_with_the_persons_own_token(everything: Everything, role: str) -> None:
    """As a caller it has no token of its own: what her role or scopes leave out, the service refuses to every page of hers."""
    pages = [path for path in everything.of("GET") if not path.startswith("/live/")]
    async with browsing(everything.browser.url) as hers:
        await hers.sign_in(f"token-{role}")
        everything.services.readers.clear()
        everything.services.calls.clear()
        for path in pages:
            await hers.get(path)
            assert hers.status != 401, path
    assert {token for _, token, _ in everything.services.readers} == {f"token-{role}"}
    assert len({line for line, _, _ in everything.services.calls}) > 20


async def _status(browser: Browser, path: str) -> int:
    await browser.get(path)
    return browser.status


async def test_every_answer_has_every_header_and_every_error_a_way_back(everything: Everything) -> None:
    browser = everything.browser
    wrong = [
        ("GET", "/nowhere"),
        ("GET", "/static/nothing.js"),
        ("POST", "/orders"),
        ("DELETE", "/apply"),
        ("PUT", "/"),
    ]
    asked = [
        *(("GET", path) for path in everything.of("GET")),
        *(("POST", path) for path in everything.of("POST")),
        *wrong,
    ]
    for method, path in asked:
        if path.startswith("/live/"):
            continue
        async with browser.session.request(method, browser.url + path, allow_redirects=False) as answer:
            page = await answer.text()
            assert answer.status < 500, path
            for name, value in HEADERS.items():
                assert answer.headers.get(name) == value or (name == "Cache-Control" and "/static" in path), (
                    path,
                    name,
                )
            if answer.status >= 400 and not path.startswith("/static"):
                assert answer.content_type == "text/html", path
                assert 'href="/"' in page or "/sign-in" in page, path
            if answer.content_type == "text/html":
                assert not re.search(r"\b(?:https?:)?//(?!127\.0\.0\.1)[\w.]", page), path
                assert not re.search(r"<script(?![^>]* src=\"/static/)|<style|\sstyle=|\son[a-z]+=", page), path


async def test_what_names_a_customer_is_in_no_log(everything: Everything, capfd: pytest.CaptureFixture[str]) -> None:
    browser = everything.browser
    for path in (
        f"/find?q={quote(PHONE)}",
        f"/o/{quote(PHONE)}",
        f"/orders?phone={quote(PHONE)}",
        f"/x/{quote(PHONE)}",
    ):
        await browser.get(path)
    await browser.get("/find")
    await browser.post("/find", q=PHONE)
    everything.services.answers["GET /admin/v1/orders"] = (503, {"code": "unavailable", "detail": "away"})
    await browser.get("/orders")
    assert browser.status == 502
    said = "".join(capfd.readouterr())
    assert "console_service_away" in said or "http_request" in said
    assert PHONE.lstrip("+") not in said
    assert "token-admin" not in said


TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
ODD = st.sampled_from(
    [
        *("", "0", "-1", "9" * 30, "\x00", "../../etc/passwd", "workflow", "retry", "audit", "dead-letter", "refund"),
        *(
            "2026-13-45T99:99",
            "{",
            "[]",
            "null",
            '{"path": "/apply", "fields": [["a", "b"]]}',
            "\ud83d\ude00",
            "%",
            "NaN",
        ),
        *(
            "9" * 5000,
            "1e999",
            "\u202e",
            "order",
            "duty",
            "override",
            "silence",
            "add",
            "message",
            "test",
            "//x",
            "token-admin",
        ),
    ]
)
ANY = st.one_of(ODD, TEXT)
NAMES = st.one_of(
    st.sampled_from(
        ["q", "to", "ids", "all", "service", "cursor", "at", "only", "top", "reason", "kept", "plan", "done"]
    ),
    st.sampled_from(
        ["form_token", "token", "language", "order", "state", "filter.state", "field.until", "field.payload"]
    ),
    TEXT,
)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    chosen=st.integers(0, 10_000),
    segments=st.lists(ANY, min_size=3, max_size=3),
    query=st.lists(st.tuples(NAMES, ANY), max_size=4),
    fields=st.lists(st.tuples(NAMES, ANY), max_size=6),
    raw=st.one_of(st.none(), st.none(), st.binary(max_size=50)),
    kind=st.sampled_from(["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "x"]),
    cookie=st.one_of(st.none(), st.none(), st.text('abc=;"\\%', max_size=40)),
)
async def test_nothing_that_anybody_sends_makes_a_page_fail(
    everything: Everything,
    chosen: int,
    segments: list[str],
    query: list[tuple[str, str]],
    fields: list[tuple[str, str]],
    raw: bytes | None,
    kind: str,
    cookie: str | None,
) -> None:
    browser = everything.browser
    method, path = everything.routes[chosen % len(everything.routes)]
    given_segments = iter(segments)
    path = re.sub(r"\{[^}]*\}", lambda _: _quoted(next(given_segments)), path)
    asked = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in query)
    headers = {"Origin": browser.url}
    data = None
    if method == "POST":
        await browser.get("/keys")
        if browser.path != "/keys":
            await browser.sign_in("token-admin")  # an example before signed out
        token = re.search(r'name="form_token" value="([^"]*)"', browser.page)
        assert token is not None
        form = "&".join(f"{_quoted(n)}={_quoted(v)}" for n, v in [("form_token", token[1]), *fields])
        data = form.encode() if raw is None else raw
        headers["Content-Type"] = kind if raw is not None else "application/x-www-form-urlencoded"
    if cookie is not None:
        headers["Cookie"] = f"session={cookie}; language={cookie}"
    url = URL(f"{browser.url}{path}?{asked}", encoded=True)
    async with browser.session.request(method, url, data=data, headers=headers, allow_redirects=False) as answer:
        if answer.content_type != "text/event-stream":
            await answer.read()
        assert answer.status < 500
        if answer.status >= 400 and answer.headers.get("Connection") != "close":
            assert answer.content_type in ("text/html", "application/problem+json")


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


@pytest.mark.parametrize("fault", ["away", "503", "500", "no JSON", "cut", "hangs"])
async def test_a_page_says_which_service_is_away(
    settings: ConsoleSettings, services: Services, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = web.Application()
    asked: list[str] = []
    over, signed_in = asyncio.Event(), False
    if fault == "hangs":
        monkeypatch.setattr("console.web.app._DEADLINE_S", 2.0)
        monkeypatch.setattr("console.web.people._AGAIN_S", 1.0)
        monkeypatch.setattr("console.web.people._KNOWN_FOR_S", 0.0)

    async def answer(request: web.Request) -> web.StreamResponse:
        """Know who it is, and fail at everything else."""
        asked.append(request.path)
        if request.path == "/admin/v1/whoami" and not (signed_in and fault == "hangs"):
            return await services.answer(request)
        if fault == "hangs":
            await over.wait()
        if fault == "cut":
            assert request.transport is not None
            request.transport.abort()
        if fault == "no JSON":
            return web.Response(text="<html>a proxy's own page</html>", content_type="application/json")
        return web.json_response({"code": "unavailable", "detail": "it is away"}, status=500 if fault == "500" else 503)

    broken.router.add_route("*", "/{path:.*}", answer)
    server = HttpServer(broken, "127.0.0.1", 0)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(server)
        stack.callback(over.set)
        one_is_elsewhere = settings.model_copy(update={"orchestrator_url": server.url})
        application = await stack.enter_async_context(running(build, one_is_elsewhere))
        browser = await stack.enter_async_context(browsing(application.url))
        services.answers |= STATED
        await browser.sign_in("token-admin")
        signed_in = True
        if fault == "away":
            await server.stop()

        async def load(path: str) -> tuple[str, int, str]:
            async with browser.session.get(browser.url + path) as loaded:
                return path, loaded.status, await loaded.text()

        _, status, page = await load("/change/workflow/retry?ids=7")
        assert (status, "Let a crashed workflow" in page) == (200, True)
        assert '<button class="primary" disabled' not in page, "what she may do there is what it said last"
        assert fault != "hangs" or "Not answering: orchestrator" in page
        monkeypatch.setattr("console.web.people._KNOWN_FOR_S", 60.0)
        asked.clear()
        its_own, others = (
            ("/o/N", "/workflows", "/w/7", "/tips"),
            ("/find", "/proof", "/incidents", "/refunds", "/more"),
        )
        for path, status, page in await asyncio.gather(*map(load, (*its_own, *others, "/"))):
            assert (path, status) == (path, 502 if path in its_own else 200)
            assert path in others or "orchestrator" in page, path
            assert 'href="/"' in page
        once = ("/orders/v1/orders/N", "/admin/v1/workflows/7", "/admin/v1/flags", "/admin/v1/whoami")
        assert fault != "hangs" or [asked.count(path) for path in once] == [1] * 4, asked


NO_SCREENS = {
    "/calendar/{}/{}": "for calendars",
    "/change/{}/{}": "the form of every act, which the table names by its act",
    "/list/{}": "every list without a place in the menu: `/more` leads there",
    "/live/{}": "news of a list, for a page's script",
    "/one/{}/{}": "every thing without a screen of its own",
    "/sign-in": "before anything is seen",
    "/sign-in/callback": "the provider leads there",
    "/sign-in/provider": "leads to the provider",
    "/static": "script and style",
    "/watched/{}": "a part of the page of what was done",
}
"""Addresses that are no screens, and why."""


def test_each_screen_that_there_is_stands_in_the_documentation(everything: Everything) -> None:
    page = (Path(__file__).parents[4] / "docs" / "console.md").read_text(encoding="utf-8")
    table = page.partition("## Screens\n")[2].partition("\n## ")[0]
    listed = {re.sub(r"\{[^}]*\}", "{}", path) for path in re.findall(r"\| `(/[^`]*)` \|", table)}
    there = {
        re.sub(r"\{[^}]*\}", "{}", path)
        for method, path in everything.routes
        if method == "GET" and path not in MACHINES
    }
    assert there - listed == set(NO_SCREENS)
    assert listed <= there
