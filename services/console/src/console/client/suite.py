"""One person's connection to the five services: her token in each call, their problems as exceptions.

Nothing is kept between calls but ETags: what has not changed is not sent twice. Reads are repeated once when the connection broke;
a change is repeated only under its ``Idempotency-Key``, so that it takes effect once. What did not answer in time is not asked again:
no call takes longer than the session's deadline.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import aiohttp

from console.client.operations import filled as filled
from console.client.operations import role_for

AnswerT = TypeVar("AnswerT")
_TIMEOUT_S = 15.0
_CONNECT_S = 3.0
_PAGE_S = 3.0
_PAGE_AGAIN_S = 1.0
"""How long a service may take for a part of a page, and how long once it was silent for a part of it."""
_LARGEST_PAGE = 200
_KEPT_ANSWERS = 60
"""Of one person: what some pages ask for. Later pages of lists are not asked for again, and not kept."""
_FORBIDDEN = 403
_OUT_OF_SCOPE = "out_of_scope"
CHANGED_SINCE = "changed_since"
"""The code and the outcome of what was left alone, for it is no longer as it was looked at."""
_ONE_WORD = {"stale_version": CHANGED_SINCE, "version_mismatch": CHANGED_SINCE}
"""Codes of services by other words than most say the same."""


def one_word(code: str) -> str:
    """Return the code by which both tools know what a service says."""
    return _ONE_WORD.get(code, code)


class RefusedError(Exception):
    """A service answered with a problem: its ``status``, stable ``code``, words and the fields at fault; ``said`` is the whole of it.

    What is no longer as it was looked at has the code ``CHANGED_SINCE``, whichever service says it. ``needs``: the role that a person
    lacks for it, ``scope``: what her token lacks although her role would do.
    """

    def __init__(self, service: str, status: int, problem: Mapping[str, Any], *, needs: str | None = None) -> None:
        self.service, self.status, self.needs = service, status, needs
        self.code = one_word(str(problem.get("code") or f"http_{status}"))
        self.detail = str(problem.get("detail") or problem.get("title") or status)
        self.fields: Sequence[Mapping[str, Any]] = problem.get("fields") or ()
        self.request_id = problem.get("request_id")
        self.said = problem
        self.scope = next((each.get("field") for each in self.fields if each.get("code") == _OUT_OF_SCOPE), None)
        lacking = (
            f": it needs the role {needs}" if needs else f": it needs the scope {self.scope}" if self.scope else ""
        )
        super().__init__(f"{service}: {self.detail} ({self.code}){lacking}")

    @property
    def unready(self) -> Sequence[str]:
        """Why a service is not ready, when that is what it was asked: each check that does not hold, or what it says instead."""
        checks: Mapping[str, str] = self.said.get("checks") or {}
        return [f"{name}: {found}" for name, found in checks.items() if found != "ok"] or [self.detail]


class UnreachableError(Exception):
    """A service did not answer in time (``timed_out``), nobody listens there, or what answers is not the service."""

    def __init__(self, service: str, url: str, cause: str, *, timed_out: bool = False) -> None:
        self.service, self.url, self.timed_out = service, url, timed_out
        super().__init__(f"{service}{f' at {url}' if url else ''} does not answer: {cause}")


async def or_none(asked: Awaitable[AnswerT]) -> AnswerT | None:
    """Return the answer, None where the service refuses it or does not answer."""
    try:
        return await asked
    except (RefusedError, UnreachableError):
        return None


async def allowed_or_none(asked: Awaitable[AnswerT]) -> AnswerT | None:
    """Return the same. Raises ``RefusedError`` where she may not ask: that is no trouble of the service."""
    try:
        return await asked
    except UnreachableError:
        return None
    except RefusedError as error:
        if error.status in (401, 403):
            raise
        return None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list. ``count`` only if it was asked for; it is exact unless ``exact`` says otherwise."""

    items: Sequence[Mapping[str, Any]]
    next_cursor: str | None = None
    count: int | None = None
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Sent:
    """What a change was answered; ``repeated``: as before, under its key. ``at``: when, by the service's clock, in ISO form."""

    answer: Any
    repeated: bool
    at: str | None


@dataclass(slots=True)
class Suite:
    """The services at their addresses, as the owner of ``token`` may use them. Safe for concurrent calls.

    ``masked``: customers' data come masked, whoever asks; ``language``: of what services say of problems, None: that of the notices.
    """

    session: aiohttp.ClientSession
    urls: Mapping[str, str]
    token: str
    masked: bool = False
    language: str | None = None
    silent: set[str] | None = None
    """Of a page: the services that did not answer it in time. None: it is no page, and only the session's deadline holds."""
    _answers: dict[tuple[str, str], tuple[str, Any]] = field(default_factory=dict)

    def without_customers(self) -> Suite:
        """Return the same connection for looking again and again: customers' data come masked, so no reading of them is recorded.

        What a page looks at so is held to the page's time, too.
        """
        return replace(self, masked=True, _answers={})

    def for_a_page(self, *, silent: Iterable[str] = ()) -> Suite:
        """Return the same connection for what one page reads: three seconds for a service, and one second when it was silent before.

        So a page comes in seconds also while services hang. Changes are given the session's time.
        """
        return replace(self, silent=set(silent))

    async def get(self, service: str, path: str, /, **query: Any) -> Any:
        """Return what an address answers. ``path`` is filled already (``filled``); None in ``query`` is left out."""
        parameters = {name: _word(value) for name, value in query.items() if value is not None}
        asked = f"{path}?{sorted(parameters.items())}"
        tag, kept = self._answers.get((service, asked), (None, None))
        headers = {"If-None-Match": tag} if tag else {}
        status, answer, said = await self._call(service, "GET", path, parameters=parameters, headers=headers)
        if status == 304:
            return kept
        if (fresh := said.get("ETag")) and "cursor" not in parameters:
            if len(self._answers) >= _KEPT_ANSWERS:
                self._answers.pop(next(iter(self._answers)))
            self._answers[service, asked] = (fresh, answer)
        return answer

    async def page(self, service: str, path: str, /, **query: Any) -> Page:
        """Return one page of a list. What is no list in pages is one page."""
        answer = await self.get(service, path, **query)
        items = answer if isinstance(answer, list) else answer.get("items", [])
        said: Mapping[str, Any] = {} if isinstance(answer, list) else answer
        return Page(items, said.get("next_cursor"), said.get("count"), said.get("count_exact", True))

    async def walk(
        self, service: str, path: str, /, *, at_most: int, at_once: int = _LARGEST_PAGE, **query: Any
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Yield items, page by page of ``at_once``, until there are no more or ``at_most`` have been seen."""
        cursor, left = None, at_most
        while left > 0:
            page = await self.page(service, path, **{**query, "limit": min(left, at_once), "cursor": cursor})
            for item in page.items[:left]:
                yield item
            left, cursor = left - len(page.items), page.next_cursor
            if cursor is None:
                return

    async def send(
        self, service: str, method: str, path: str, body: Mapping[str, Any], *, key: str | None = None
    ) -> Any:
        """Make a change and return its answer. With ``key`` a lost answer is asked for once more, and it still happens once."""
        headers = {"Idempotency-Key": key} if key else {}
        return (await self._call(service, method, path, body=body, headers=headers, again=key is not None))[1]

    async def send_once(
        self, service: str, method: str, path: str, body: Mapping[str, Any], *, key: str | None
    ) -> Sent:
        """Make a change under a key; say whether it had been made under this key before, and when it was answered."""
        headers = {"Idempotency-Key": key} if key else {}
        _, answer, said = await self._call(service, method, path, body=body, headers=headers, again=key is not None)
        return Sent(answer, said.get("Idempotency-Replayed") == "true", _date(said.get("Date")))

    async def _call(
        self,
        service: str,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        again: bool = True,
    ) -> tuple[int, Any, Mapping[str, str]]:
        url = self.urls.get(service)
        if url is None:
            raise UnreachableError(service, "nowhere", "no address is set for it")
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        if self.language is not None:
            sent["Accept-Language"] = self.language
        if self.masked:
            sent["Customer-Data"] = "masked"
        paged = self.silent is not None and method == "GET"
        for last in (False, True) if again else (True,):
            within = (_PAGE_AGAIN_S if service in (self.silent or ()) else _PAGE_S) if paged else None
            try:
                async with (
                    asyncio.timeout(within),
                    self.session.request(
                        method,
                        url.rstrip("/") + path,
                        params=parameters,
                        json=body,
                        headers=sent,
                        allow_redirects=False,
                    ) as answer,
                ):
                    said = await _read(answer)
                    if answer.status >= 300 and answer.status != 304:
                        problem = said if isinstance(said, dict) else {}
                        lacks_role = answer.status == _FORBIDDEN and problem.get("code") != _OUT_OF_SCOPE
                        needs = role_for(service, method, path) if lacks_role else None
                        raise RefusedError(service, answer.status, problem, needs=needs)
                    return answer.status, said, answer.headers
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                late = isinstance(error, TimeoutError)
                if late and self.silent is not None:
                    self.silent.add(service)
                if last or late:
                    arrived = not isinstance(error, aiohttp.ConnectionTimeoutError)
                    cause = str(error) or type(error).__name__
                    raise UnreachableError(service, url, cause, timed_out=late and arrived) from None
                await asyncio.sleep(0)
            except ValueError:
                raise UnreachableError(service, url, "what answers there does not speak JSON") from None
        raise AssertionError("one of the attempts is the last")


@asynccontextmanager
async def connected(
    urls: Mapping[str, str], token: str, *, trusted: ssl.SSLContext | None = None
) -> AsyncIterator[Suite]:
    """Connect as the owner of the token; nothing is called yet. ``trusted`` is whom to believe over https; None: whom the machine does."""
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S, sock_connect=_CONNECT_S)
    connector = aiohttp.TCPConnector(ssl=trusted or True)
    async with aiohttp.ClientSession(
        timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), connector=connector
    ) as session:
        yield Suite(session, urls, token)


async def _read(answer: aiohttp.ClientResponse) -> Any:
    if answer.status == 304 or answer.content_length == 0:
        return None
    if "json" not in answer.content_type:
        return await answer.text()
    return await answer.json(content_type=None)


def _date(header: str | None) -> str | None:
    try:
        return parsedate_to_datetime(header or "").isoformat()
    except ValueError:
        return None


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
