"""Sessions: who comes in, what others cannot do with a person's browser, how it ends."""

from __future__ import annotations

import html
import re
from http.cookies import SimpleCookie

import aiohttp
import pytest
from pydantic import AnyHttpUrl, SecretStr, ValidationError

from common.service import running
from console.web.app import build
from console.web.settings import ConsoleSettings
from tests.support.console_browser import Browser, browsing
from tests.support.console_plans import RETRY, hidden, planned
from tests.support.servers import eventually
from tests.unit.console.web.factories import Services


async def test_nobody_sees_a_page_before_signing_in(browser: Browser) -> None:
    page = await browser.get("/workflows?state=crashed")
    assert (browser.path, "<code>make up</code>" in page) == (
        "/sign-in",
        True,
    )  # and on this machine where a token stands
    await browser.post("/sign-in", token="token-operator", to="/workflows")
    assert (browser.status, browser.path) == (200, "/workflows")


@pytest.mark.parametrize(
    "token", ["", "unknown-token", "token-internal", "x" * 600, "with blanks", "<script>alert(1)</script>"]
)
async def test_a_token_that_is_no_persons_lets_nobody_in(browser: Browser, token: str) -> None:
    await browser.get("/sign-in")
    page = await browser.post("/sign-in", token=token)
    assert browser.status == 401
    assert "<script>alert" not in page
    await browser.get("/")
    assert browser.path == "/sign-in"


async def test_a_session_that_somebody_planted_is_not_the_one_that_signs_in(browser: Browser) -> None:
    await browser.get("/sign-in")
    planted = _cookie(browser)
    await browser.post("/sign-in", token="token-admin")
    assert _cookie(browser) != planted
    async with (
        aiohttp.ClientSession(cookies={"session": planted}) as other,
        other.get(browser.url + "/", allow_redirects=False) as answer,
    ):
        assert answer.status == 303


@pytest.mark.parametrize("address", ["/", "/workflows", "/i/5", "/change/order/refund?ids=N"])
async def test_a_withdrawn_token_ends_its_sessions_at_the_next_page(
    browser: Browser, services: Services, address: str
) -> None:
    await browser.sign_in("token-operator")
    services.withdrawn.add("token-operator")
    await eventually_signed_out(browser, address)


async def test_a_stream_of_news_ends_with_the_session(browser: Browser, services: Services) -> None:
    await browser.sign_in("token-operator")
    async with browser.session.get(browser.url + "/live/workflow?seen=") as stream:
        assert stream.status == 200
        services.withdrawn.add("token-operator")
        await stream.content.read()
    await eventually_signed_out(browser, "/live/workflow")


async def test_a_withdrawn_viewers_news_end_while_another_looks_on(browser: Browser, services: Services) -> None:
    services.answers["GET /admin/v1/workflows"] = (200, {"items": [{"id": 1}], "next_cursor": None})
    await browser.sign_in("token-viewer")
    other = "token-viewer-2"
    async with browsing(browser.url) as second:
        await second.sign_in(other)
        async with (
            browser.session.get(browser.url + "/live/workflow?seen=") as kept,
            second.session.get(browser.url + "/live/workflow?seen=") as ended,
        ):
            assert await kept.content.readline()
            services.withdrawn.add(other)
            await ended.content.read()
            assert not kept.content.at_eof()


@pytest.mark.parametrize("why", ["withdrawn", "signed out"])
async def test_a_form_whose_session_ended_is_there_after_signing_in_again(
    browser: Browser, services: Services, why: str
) -> None:
    await browser.sign_in("token-operator")
    form = await browser.get("/change/silence/add")
    if why == "withdrawn":
        services.withdrawn.add("token-operator")
        await eventually_signed_out(browser, "/orders")
    else:
        await browser.post("/sign-out")
    browser.page = form
    services.calls.clear()
    typed = {
        "reason": 'a long "story" & <b>',
        "field.reason": "kept",
        "field.ends_at": "2026-11-30T10:00",
        "service": "notifier",
    }
    page = await browser.post("/change/silence/add", **typed)
    assert browser.status == 401
    assert "Nothing" not in page
    assert "nothing was changed" in page
    assert "story&#34; &amp; &lt;b&gt;" in page
    kept = html.unescape(re.findall(r'name="kept" value="([^"]*)"', page)[0])
    page = await browser.post("/again", kept=kept, token="unknown-token")
    assert browser.status == 401
    assert "No service knows this token" in page
    page = await browser.post("/again", kept=kept, token="token-admin")
    assert browser.status == 200
    assert 'action="/change/silence/add"' in page
    assert ">a long &#34;story&#34; &amp; &lt;b&gt;</textarea>" in page
    assert 'value="2026-11-30T10:00"' in page
    assert services.calls == [], "nothing is sent before one presses again"
    services.answers["POST /admin/v1/silences"] = (200, {"plan": "p", "items": []})
    page = await browser.post("/change/silence/add", **typed)
    assert browser.status != 401


async def test_a_plan_is_there_as_it_was_after_signing_in_again(browser: Browser, services: Services) -> None:
    services.answers[RETRY] = (200, planned({"id": "7", "version": 3, "outcome": "retried", "notices": ["it goes on"]}))
    services.answers["GET /admin/v1/workflows/7"] = (200, {"id": 7, "state_name": "finished", "pending": 0})
    await browser.sign_in("token-operator")
    await browser.get("/change/workflow/retry?ids=7")
    rehearsed = await browser.post("/change/workflow/retry", ids="7", reason="the cause is mended")
    services.withdrawn.add("token-operator")
    await eventually_signed_out(browser, "/orders")
    browser.page = rehearsed
    services.calls.clear()
    page = await browser.post("/apply", plan=hidden(rehearsed, "plan"))
    assert browser.status == 401
    kept = hidden(page, "kept")
    page = await browser.post("/again", kept=kept, token="token-viewer")
    assert re.search(
        r'<button class="primary" disabled data-act="workflow retry">Do exactly this <small>needs the role', page
    )
    await browser.post("/sign-out")
    await browser.get("/sign-in")
    page = await browser.post("/again", kept=kept, token="token-admin")
    assert all(text in page for text in ("it goes on", "the cause is mended", "Do exactly this"))
    assert hidden(page, "plan") == hidden(rehearsed, "plan")
    assert services.calls == [], "nothing is done before one presses again"
    page = await browser.post("/apply", plan=hidden(page, "plan"))
    assert "Seen:" in page
    assert [body["plan"] for line, body, _ in services.calls if line == RETRY] == ["digest"]


async def test_another_form_is_sent_after_signing_in_again_only_when_pressed(
    browser: Browser, services: Services
) -> None:
    await browser.sign_in("token-operator")
    before = await browser.get("/keys")
    await browser.post("/sign-out")
    browser.page = before
    services.calls.clear()
    page = await browser.post("/find", q="\n<&>")
    kept = html.unescape(re.findall(r'name="kept" value="([^"]*)"', page)[0])
    page = await browser.post("/again", kept=kept, token="token-operator")
    assert 'action="/find"' in page
    assert '<textarea name="q" hidden>\n\n&lt;&amp;&gt;</textarea>' in page
    assert services.calls == []


async def test_a_page_of_an_earlier_session_keeps_its_form_too(browser: Browser, services: Services) -> None:
    await browser.sign_in("token-operator")
    before = await browser.get("/change/workflow/retry?ids=7")
    await browser.post("/sign-out")
    await browser.sign_in("token-admin")
    browser.page = before
    services.calls.clear()
    page = await browser.post("/change/workflow/retry", ids="7", reason="typed before")
    assert (browser.status, services.calls) == (403, [])
    kept = html.unescape(re.findall(r'name="kept" value="([^"]*)"', page)[0])
    page = await browser.post("/again", kept=kept)
    assert browser.status == 200
    assert ">typed before</textarea>" in page


@pytest.mark.parametrize(
    "kept", ["", "{", "[]", '{"path": "//evil.example", "fields": []}', '{"path": "/apply", "fields": [1]}', "[" * 9999]
)
async def test_a_kept_form_that_is_none_is_not_shown(browser: Browser, kept: str) -> None:
    await browser.sign_in("token-operator")
    await browser.post("/again", kept=kept)
    assert browser.status == 400
    assert "evil" not in browser.page


async def test_a_session_is_over_after_its_hours(services: Services, settings: ConsoleSettings) -> None:
    short = settings.model_copy(update={"session_hours": 0.0000001})
    async with running(build, short) as application, browsing(application.url) as browser:
        await browser.sign_in("token-operator")
        assert browser.path == "/sign-in"


async def test_signing_out_takes_the_session_out_of_the_browser(browser: Browser) -> None:
    await browser.sign_in("token-viewer")
    await browser.post("/sign-out")
    await browser.get("/orders")
    assert browser.path == "/sign-in"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", None])
async def test_another_sites_form_changes_nothing(browser: Browser, services: Services, origin: str | None) -> None:
    await browser.sign_in("token-operator")
    await browser.get("/change/workflow/retry?ids=1")
    services.calls.clear()
    await browser.post("/change/workflow/retry", origin=origin, ids="1", reason="for a test")
    assert browser.status == 403
    assert services.calls == []


async def test_a_form_without_its_token_changes_nothing(browser: Browser, services: Services) -> None:
    await browser.sign_in("token-operator")
    services.calls.clear()
    for token in ("", "guessed"):
        await browser.post("/apply", form_token=token, plan="{}")
        assert browser.status == 403
    assert services.calls == []


async def test_the_session_says_nothing_to_who_reads_the_cookie(browser: Browser) -> None:
    await browser.sign_in("token-admin")
    assert "token-admin" not in _cookie(browser)


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
async def test_signing_in_never_leads_to_another_site(browser: Browser, to: str) -> None:
    await browser.get("/sign-in")
    await browser.post("/sign-in", token="token-viewer", to=to)
    assert (browser.status, browser.path) == (200, "/")


async def test_over_tls_the_cookie_is_bound_to_this_host(settings: ConsoleSettings) -> None:
    public = settings.model_copy(update={"public_url": AnyHttpUrl("https://console.example")})
    async with running(build, public) as application, browsing(application.url) as browser:
        assert "make up" not in await browser.get("/sign-in")
        cookie: SimpleCookie = SimpleCookie(browser.headers["Set-Cookie"])
        morsel = cookie["__Host-session"]
        assert (morsel["secure"], morsel["httponly"], morsel["samesite"], morsel["path"], morsel["domain"]) == (
            True,
            True,
            "Lax",
            "/",
            "",
        )
        assert "max-age" in browser.headers["Strict-Transport-Security"]


def test_plain_http_is_for_this_machine_only(settings: ConsoleSettings) -> None:
    given = settings.model_dump()
    with pytest.raises(ValidationError, match="public_url must be https"):
        ConsoleSettings(**{**given, "public_url": "http://console.example"})
    assert ConsoleSettings(**{**given, "public_url": "http://localhost:8086"}).secure is False
    with pytest.raises(ValidationError):
        ConsoleSettings(**{**given, "session_key": SecretStr("short")})


def test_settings_of_a_provider_are_whole(settings: ConsoleSettings) -> None:
    issuer = "https://sso.example.com"
    whole = {"oidc_issuer": issuer, "oidc_client_id": "console", "public_url": "https://console.example.com"}
    given = settings.model_dump()
    assert ConsoleSettings(**{**given, **whole}).oidc_issuer == issuer, "as it is written, without a slash more"
    for missing in ("oidc_client_id", "public_url"):
        with pytest.raises(ValidationError, match="oidc_issuer needs"):
            ConsoleSettings(**{**given, **whole, missing: None})
    for wrong in ("http://sso.example.com", "sso.example.com", "ftp://127.0.0.1", ""):
        with pytest.raises(ValidationError, match="must be an https address"):
            ConsoleSettings(**{**given, **whole, "oidc_issuer": wrong})


async def test_with_all_services_away_the_token_is_not_called_wrong(settings: ConsoleSettings) -> None:
    nobody = AnyHttpUrl("http://127.0.0.1:9")
    away = settings.model_copy(
        update=dict.fromkeys(
            ("webhook_gateway_url", "orchestrator_url", "tips_url", "refunds_url", "notifier_url"), nobody
        )
    )
    async with running(build, away) as application, browsing(application.url) as browser:
        page = await browser.sign_in("token-operator")
        assert browser.status == 502
        assert "No service answers" in page


async def eventually_signed_out(browser: Browser, address: str) -> None:
    """Wait until the console knows."""

    async def signed_out() -> bool:
        await browser.get(address)
        return browser.path == "/sign-in"

    await eventually(signed_out, what="the session ends")


def _cookie(browser: Browser) -> str:
    return next(morsel.value for morsel in browser.session.cookie_jar if morsel.key == "session")
