"""A browser without script: cookies, forms, redirects. What the console must do for everybody."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

_FORM_TOKEN = re.compile(r'name="form_token" value="([^"]*)"')


@dataclass
class Browser:
    """What is shown, and how to go on from there."""

    url: str
    session: aiohttp.ClientSession
    page: str = ""
    status: int = 0
    path: str = ""
    headers: Any = None

    async def get(self, path: str, **headers: str) -> str:
        """Load a page."""
        async with self.session.get(self.url + path, headers=headers) as answer:
            return await self._keep(answer)

    async def post(self, path: str, *, origin: str | None = "own", follow: bool | str = True, **fields: Any) -> str:
        """Send a form of the page that is shown; ``follow`` where the answer leads."""
        token = _FORM_TOKEN.search(self.page)
        sent = {"form_token": token[1] if token else "", **fields}
        headers = {} if origin is None else {"Origin": self.url if origin == "own" else origin}
        async with self.session.post(
            self.url + path, data=sent, headers=headers, allow_redirects=bool(follow)
        ) as answer:
            return await self._keep(answer)

    async def sign_in(self, token: str) -> str:
        """Sign in with a token."""
        await self.get("/sign-in")
        return await self.post("/sign-in", token=token, to="/")

    async def _keep(self, answer: aiohttp.ClientResponse) -> str:
        self.page, self.status, self.path, self.headers = (
            await answer.text(),
            answer.status,
            answer.url.path,
            answer.headers,
        )
        return self.page


@asynccontextmanager
async def browsing(
    url: str, *, trusted: ssl.SSLContext | None = None, language: str | None = None
) -> AsyncIterator[Browser]:
    """Open a browser for a console; with https it believes what ``trusted`` says. ``language`` is the one that it asks for."""
    connector = aiohttp.TCPConnector(ssl=True if trusted is None else trusted)
    cookies, asks = aiohttp.CookieJar(unsafe=True), {"Accept-Language": language} if language else {}
    async with aiohttp.ClientSession(connector=connector, cookie_jar=cookies, headers=asks) as session:
        yield Browser(url, session)
