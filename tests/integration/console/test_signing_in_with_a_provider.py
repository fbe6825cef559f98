"""The console and a real OpenID provider: code with PKCE, state and nonce; renewed, refused, signed out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import pytest_asyncio
from yarl import URL

from common.service import running
from console.web.app import build
from suite_local.ports import free_port
from tests.integration.console.factories import opened, settings_of
from tests.support.console_browser import Browser, browsing
from tests.support.openid_provider.running import Provider, Visitor
from tests.support.servers import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Person:
    """Somebody's browser before console and provider."""

    browser: Browser
    visitor: Visitor

    async def to_provider(self, to: str = "/keys", changed: Mapping[str, str | None] | None = None) -> str:
        """Press the button; return where the console sends the browser, with parameters as another would send them."""
        async with self.browser.session.get(
            f"{self.browser.url}/sign-in/provider?{urlencode({'to': to})}", allow_redirects=False
        ) as answer:
            assert answer.status == 303
            address = URL(answer.headers["Location"])
        query = {**dict(address.query), **(changed or {})}
        return str(address.with_query({name: text for name, text in query.items() if text is not None}))

    async def sign_in(self, name: str, to: str = "/keys", changed: Mapping[str, str | None] | None = None) -> str:
        """Go all the way; return the page that is shown in the end."""
        return await self.follow(await self.visitor.sign_in(await self.to_provider(to, changed), name))

    async def follow(self, address: str) -> str:
        """Come back from the provider."""
        assert address.startswith(self.browser.url), address
        return await self.browser.get(address.removeprefix(self.browser.url))

    @property
    def session_cookie(self) -> str:
        """The console's."""
        return next(each.value for each in self.browser.session.cookie_jar if each.key == "session")


@pytest_asyncio.fixture(loop_scope="module")
async def person(provider: Provider, tmp_path: Path) -> AsyncIterator[Person]:
    """Somebody before a console whose services believe the provider."""
    async with AsyncExitStack() as stack:
        service = await opened(stack, provider, tmp_path)
        console = await stack.enter_async_context(running(build, settings_of(provider, service.url)))
        browser = await stack.enter_async_context(browsing(f"http://127.0.0.1:{console.port}"))
        yield Person(browser, Visitor(provider, browser.session))


async def test_a_person_signs_in_and_lands_where_she_wanted_to_go(person: Person) -> None:
    page = await person.browser.get("/keys")
    assert 'href="/sign-in/provider?to=/keys">Sign in with Our provider</a>' in page
    planted = person.session_cookie
    page = await person.sign_in("anna")
    assert (person.browser.status, person.browser.path) == (200, "/keys")
    assert "anna</b> · operator" in page
    assert person.session_cookie != planted
    asked = parse_qs(urlsplit(await person.to_provider()).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert len({*asked} & {"state", "nonce", "code_challenge"}) == 3
    assert "anna</b> · operator" in await person.browser.get("/keys"), "who only begins again stays signed in"


async def test_who_has_no_role_is_told_so(person: Person) -> None:
    page = await person.sign_in("guest")
    assert person.browser.status == 403
    assert "none of your groups has a role here" in page
    await person.browser.get("/keys")
    assert person.browser.path == "/sign-in"


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example/", "/\\evil.example"])
async def test_the_provider_never_leads_to_another_site(person: Person, to: str) -> None:
    await person.sign_in("vera", to)
    assert person.browser.path in ("/", "/sign-in")
    assert str(person.browser.url).startswith("http://127.0.0.1")


async def test_what_was_not_begun_here_lets_nobody_in(person: Person, provider: Provider) -> None:
    address = await person.visitor.sign_in(await person.to_provider(), "anna")
    code, state = (parse_qs(urlsplit(address).query)[name][0] for name in ("code", "state"))
    async with browsing(person.browser.url) as other:
        stranger = Person(other, Visitor(provider, other.session))
        await stranger.follow(address)
        assert other.status == 400
        await stranger.to_provider()
        await stranger.follow(address)
        assert other.status == 400
        await other.get("/keys")
        assert other.path == "/sign-in", "a link with somebody else's code signs nobody in"
    wrong: list[tuple[int, dict[str, str | None]]] = [
        (400, {"code": code, "state": "guessed"}),
        (403, {"code": code, "state": None, "iss": "http://127.0.0.1:1/o"}),
        (403, {"state": None, "error": "access_denied"}),
        (403, {"state": None}),
        (403, {"code": "guessed", "state": None}),
        (400, {"code": code, "state": state}),
    ]
    for status, query in wrong:
        begun = parse_qs(urlsplit(await person.to_provider()).query)["state"][0]
        sent = {name: text or begun for name, text in query.items()}
        page = await person.browser.get(f"/sign-in/callback?{urlencode(sent)}")
        assert (person.browser.status, query) == (status, query)
        assert 'name="token"' in page, "there is a way on"
        await person.browser.get(f"/sign-in/callback?{urlencode(sent)}")
        assert person.browser.status == 400, "what was begun counts once"
    await person.browser.get("/keys")
    assert person.browser.path == "/sign-in"


async def test_a_code_works_once(person: Person) -> None:
    address = await person.visitor.sign_in(await person.to_provider(), "anna")
    await person.follow(address)
    assert person.browser.path == "/keys"
    async with browsing(person.browser.url) as other:
        await other.get("/sign-in")
        other.session.cookie_jar.update_cookies({"session": person.session_cookie}, URL(other.url))
        await other.get(address.removeprefix(person.browser.url))
        assert other.status == 400


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"nonce": "another"}, 403),
        ({"nonce": None}, 403),
        ({"code_challenge": None, "code_challenge_method": None}, 403),
        ({"code_challenge": "A" * 43}, 403),
        ({"code_challenge_method": "plain"}, 403),
        ({"scope": "profile groups"}, 403),
        ({"state": "another"}, 400),
    ],
)
async def test_a_sign_in_that_somebody_changed_on_its_way_lets_nobody_in(
    person: Person, changed: dict[str, str | None], status: int
) -> None:
    await person.sign_in("olga", changed=changed)
    assert person.browser.status == status
    await person.browser.get("/keys")
    assert person.browser.path == "/sign-in"


async def test_pages_that_load_at_once_renew_a_session_once(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    await person.sign_in("anna")
    monkeypatch.setattr("console.web.pages._RENEWED_BEFORE_S", 10_000.0)
    before = person.session_cookie
    for _ in range(2):
        async with asyncio.TaskGroup() as group:
            for path in ("/keys", "/more", "/find", "/keys", "/more"):
                group.create_task(_shown(person, path))
    assert person.session_cookie != before
    monkeypatch.undo()
    assert "anna</b> · operator" in await person.browser.get("/keys")


async def _shown(person: Person, path: str) -> None:
    async with person.browser.session.get(person.browser.url + path, allow_redirects=False) as answer:
        assert answer.status == 200, path


async def test_a_session_that_is_not_renewed_lasts_as_long_as_its_token(
    person: Person, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await person.sign_in("anna")
    form = await person.browser.get("/change/silence/add")
    monkeypatch.setattr("console.web.pages._RENEWED_BEFORE_S", 10_000.0)
    provider.stop()
    try:
        assert "anna</b> · operator" in await person.browser.get("/keys")
        monkeypatch.setattr("common.http.identity_provider.LEEWAY_S", -10_000)  # as if its hour had come

        async def over() -> bool:
            person.browser.page = form
            await person.browser.post("/change/silence/add", reason="typed before it ended")
            return person.browser.status == 401

        await eventually(over, what="the session ends")
        assert "typed before it ended" in person.browser.page
        assert 'href="/sign-in/provider" target="_blank"' in person.browser.page
    finally:
        await provider.start()


async def test_a_provider_that_was_never_there_is_said_to_be_away(provider: Provider, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        service = await opened(stack, provider, tmp_path)
        elsewhere = settings_of(provider, service.url, oidc_issuer=f"http://127.0.0.1:{free_port()}")
        console = await stack.enter_async_context(running(build, elsewhere))
        browser = await stack.enter_async_context(browsing(f"http://127.0.0.1:{console.port}"))
        page = await browser.get("/sign-in/provider?to=/keys")
        assert browser.status == 502
        assert "The provider does not answer. Your own token works without it." in page
        page = await browser.post("/sign-in", token="token-of-the-file", to="/keys")
        assert "bot</b> · viewer" in page


async def test_signing_out_leads_to_the_providers_own_place_for_it(person: Person, provider: Provider) -> None:
    await person.sign_in("anna")
    page = await person.browser.post("/sign-out")
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', page)
    assert found is not None
    assert found[1].startswith(f"{provider.issuer}/logout/?client_id=console&amp;post_logout_redirect_uri=")
    await person.browser.get("/keys")
    assert person.browser.path == "/sign-in"


async def test_a_token_of_the_file_signs_in_beside_the_provider(person: Person) -> None:
    page = await person.browser.sign_in("token-of-the-file")
    await person.browser.get("/sign-in")
    page = await person.browser.get("/keys")
    assert "bot</b> · viewer" in page
    page = await person.browser.post("/sign-out")
    assert person.browser.path == "/sign-in"


async def test_a_token_taken_out_of_the_file_ends_its_session(person: Person, tmp_path: Path) -> None:
    form = await person.browser.sign_in("token-of-the-file")
    file = tmp_path / "tokens.json"
    file.write_text(file.read_text().replace("token-of-the-file", "another-token"))

    async def out() -> bool:
        await person.browser.get("/keys")
        return person.browser.path == "/sign-in"

    await eventually(out, what="the session ends")
    person.browser.page = form
    await person.browser.post("/apply", plan="{}")
    assert person.browser.status == 401
