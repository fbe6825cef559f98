"""Every field of every form of every screen, filled in by somebody who does not wish us well."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr
from yarl import URL

from common.service import running
from console.client.acts import ACTS
from console.web.app import build
from console.web.settings import ConsoleSettings
from tests.support.console_browser import Browser, browsing
from tests.support.console_plans import RETRY, hidden, planned
from tests.support.console_walk import addresses
from tests.unit.console.web.factories import EVIL, Services

_FORM = re.compile(r"<form (?P<said>[^>]*)>(?P<inside>.*?)</form>", re.DOTALL)
_INPUT = re.compile(r'<(?:input|textarea|select|button)[^>]*\bname="(?P<name>[^"]+)"[^>]*>')
_TURNED = "\u202egnp.exe\u2066\u200f"
VALUES = {
    "markup": EVIL.encode(),
    "direction": _TURNED.encode(),
    "hundred kilobytes": b"x" * 100_000,
    "NUL": b"a\x00b",
    "newlines": b"one\r\ntwo\nSet-Cookie: a=b\r\n\r\n",
    "half a character": "\ud800".encode("utf-8", "surrogatepass"),
    "no text at all": b"\xff\xfe\x80",
    "a number without end": b"9" * 4000,
}
_LONGEST_ADDRESS = 6000
_MOST_FIELDS = 8
"""Of a hundred kilobytes each: aiohttp warns of what is larger than a mebibyte in all."""


@dataclass(frozen=True)
class Form:
    """Where a form goes and what it asks for."""

    method: str
    action: str
    names: tuple[str, ...]


def forms_of(page: str, address: str) -> Iterator[Form]:
    """The forms of a page."""
    for found in _FORM.finditer(page):
        said = dict(re.findall(r'(\w+)="([^"]*)"', found["said"]))
        names = dict.fromkeys(html.unescape(each) for each in _INPUT.findall(found["inside"]))
        where = html.unescape(said.get("action", address)).partition("?")[0]
        yield Form(said.get("method", "get").lower(), where, tuple(name for name in names if name != "form_token"))


@pytest.fixture(scope="module")
def seen() -> list[Form]:
    """The forms that an earlier test of this file has found: every console shows the same ones."""
    return []


@pytest.fixture
async def forms(browser: Browser, hostile: Services, seen: list[Form]) -> list[Form]:
    """All forms that there are, each once."""
    await browser.sign_in("token-admin")
    if not seen:
        pages = [*addresses(), *(f"/change/{act.noun}/{act.verb}?ids=EVIL" for act in ACTS.values())]
        found: dict[Form, None] = {}
        for address in pages:
            found |= dict.fromkeys(forms_of(await browser.get(address), address.partition("?")[0]))
        seen += [form for form in found if form.action not in ("/sign-out", "/language")]
    assert len(seen) > 80, len(seen)
    return seen


@pytest.mark.parametrize("kind", VALUES)
async def test_no_field_of_any_form_takes_a_page_apart(browser: Browser, forms: list[Form], kind: str) -> None:
    await browser.get("/keys")
    token, value = hidden(browser.page, "form_token"), VALUES[kind]
    for form in forms:
        fields = "&".join(f"{quote(name)}={quote(value)}" for name in form.names[:_MOST_FIELDS])
        data, path = None, form.action
        if form.method == "post":
            data = f"form_token={quote(token)}&{fields}"
        else:
            path += f"?{fields[:_LONGEST_ADDRESS].rpartition('%')[0]}"
        headers = {"Origin": browser.url, "Content-Type": "application/x-www-form-urlencoded"}
        async with browser.session.request(
            form.method,
            URL(browser.url + path, encoded=True),
            data=None if data is None else io.BytesIO(data.encode()),
            headers=headers,
            allow_redirects=False,
        ) as answer:
            page = await answer.text()
            assert answer.status < 500, (form, page[-500:])
            assert not answer.headers.get("Location", "/").startswith(("//", "http")), form
            assert answer.cookies.get("a") is None, form
            for raw in ("<img src=x", "<script>alert", "603729"):
                assert raw not in page, (form, raw)


async def test_marks_of_direction_turn_nothing_around_that_stands_beside_them(browser: Browser) -> None:
    css = await browser.get("/static/console.css")
    assert "main * { unicode-bidi: isolate; }" in css


@pytest.mark.parametrize(
    "to",
    [
        *(
            "//evil.example",
            "///evil.example",
            "https://evil.example/",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
        ),
        *(
            "javascript:alert(1)",
            "/\x00/evil.example",
            " //evil.example",
            "/\r\nSet-Cookie: a=b",
            "evil.example",
            "?to=//x",
            "",
        ),
    ],
)
async def test_signing_in_and_choosing_a_language_lead_nowhere_else(browser: Browser, to: str) -> None:
    await browser.get("/sign-in")
    for path, more in (("/sign-in", {"token": "token-admin"}), ("/language", {"language": "ru"})):
        sent = {"form_token": hidden(browser.page, "form_token"), "to": to, **more}
        headers = {"Origin": browser.url}
        async with browser.session.post(
            browser.url + path, data=sent, headers=headers, allow_redirects=False
        ) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/"), path
            assert answer.cookies.get("a") is None
        await browser.get("/keys")
    page = await browser.get(f"/sign-in?to={quote(to)}")
    assert "evil" not in page


async def test_a_cookie_of_another_console_opens_nothing_and_breaks_nothing(
    settings: ConsoleSettings, browser: Browser
) -> None:
    await browser.sign_in("token-admin")
    await browser.get("/workflows")
    await browser.post("/views", noun="workflow", name="mine", **{"filter.state": "crashed"})
    cookies: dict[str, Any] = {each.key: each.value for each in browser.session.cookie_jar}
    assert {"session", "views"} <= cookies.keys()
    for key, opened in (("k" * 40, True), ("another key of another console, as long as it takes", False)):
        one_more = settings.model_copy(update={"session_key": SecretStr(key)})
        async with running(build, one_more) as application, browsing(application.url) as other:
            other.session.cookie_jar.update_cookies(cookies, URL(application.url))
            page = await other.get("/workflows")
            assert (other.status, other.path == "/workflows", "mine" in page) == (200, opened, opened)
            if not opened:
                await other.sign_in("token-viewer")
                assert "mine" not in await other.get("/workflows")
                assert other.status == 200


async def test_a_plan_that_another_person_sends_is_hers_and_asked_of_the_service_anew(
    browser: Browser, services: Services
) -> None:
    services.answers[RETRY] = (200, planned({"id": "7", "version": 3, "outcome": "retried"}))
    services.answers["GET /admin/v1/workflows/7"] = (200, {"id": 7, "state_name": "finished", "pending": 0})
    await browser.sign_in("token-operator")
    await browser.get("/change/workflow/retry?ids=7")
    plan = hidden(await browser.post("/change/workflow/retry", ids="7", reason="for a test"), "plan")
    async with browsing(browser.url) as other:
        await other.sign_in("token-viewer")
        await other.get("/keys")
        services.answers[RETRY] = (403, {"code": "forbidden", "detail": "no"})
        services.readers.clear()
        page = await other.post("/apply", plan=plan)
        assert (other.status, "needs the role operator" in page) == (403, True)
        assert {token for line, token, _ in services.readers if line == RETRY} == {"token-viewer"}


async def test_news_are_for_nobody_without_a_session(browser: Browser) -> None:
    for path in ("/live/workflow", "/live/audit", "/live/dead-letter?service=refunds"):
        for asks in ({"Accept": "text/event-stream"}, {"Accept": "text/event-stream", "HX-Request": "true"}):
            async with browser.session.get(browser.url + path, headers=asks, allow_redirects=False) as answer:
                assert answer.status in (303, 401), path
                assert answer.content_type != "text/event-stream", path
