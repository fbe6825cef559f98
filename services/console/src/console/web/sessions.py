"""Sessions: an encrypted cookie that holds the person's token, and the proof that a form came from our own page."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp_session import Session
from aiohttp_session.cookie_storage import EncryptedCookieStorage

from console.web.settings import ConsoleSettings, loopback

FORM_TOKEN = "form_token"  # noqa: S105 - a field's name
_TOKEN = "token"  # noqa: S105 - a field's name
_UNTIL = "until"
_REFRESH = "refresh"
_BEGUN = "begun"
_LARGEST_COOKIE = 3900  # browsers take 4 KiB with the name and its rules


class TooLargeError(Exception):
    """What proves who a person is does not fit into a cookie."""


class ForgedFormError(Exception):
    """A form was sent by another site's page, or by nobody knows whose."""


class StaleFormError(Exception):
    """A form was sent by a page of ours that belongs to another session than the one that is open now."""


class Sessions:
    """Whoever holds the cookie is the token's owner until ``session_hours`` are over or the services no longer know the token.

    Signing in makes a session anew, so that one that somebody planted is worth nothing. Nothing is kept here: replicas need only the same
    key, and to end a session that got lost the token is withdrawn.
    """

    def __init__(self, settings: ConsoleSettings) -> None:
        self._origin = settings.origin
        key = hashlib.sha256(settings.session_key.get_secret_value().encode()).digest()
        self._storage = EncryptedCookieStorage(
            key,
            cookie_name="__Host-session" if settings.secure else "session",
            max_age=int(settings.session_hours * 3600),
            secure=settings.secure,
            httponly=True,
            samesite="Lax",
        )

    async def load(self, request: web.Request) -> Session:
        """Return the session of a request, empty when there is none, it is over, or it was made with another key."""
        try:
            return await self._storage.load_session(request)
        except (ValueError, TypeError, AttributeError):  # sealed by us, and yet not what we write now
            return await self._storage.new_session()

    def token_of(self, session: Session) -> str | None:
        """Return the person's token."""
        token = session.get(_TOKEN)
        return token if isinstance(token, str) else None

    async def begin(
        self,
        request: web.Request,
        response: web.StreamResponse,
        *,
        token: str | None,
        until: float | None = None,
        refresh: str | None = None,
    ) -> Session:
        """Give the browser a new session; with no token it is one that only a sign-in form can use.

        ``until`` and ``refresh`` are of a token that a provider gave. Raises ``TooLargeError``.
        """
        session = await self._storage.new_session()
        session[FORM_TOKEN] = secrets.token_urlsafe(24)
        if token is not None:
            session[_TOKEN] = token
        await self.renew(request, response, session, until=until, refresh=refresh)
        return session

    async def renew(
        self,
        request: web.Request,
        response: web.StreamResponse,
        session: Session,
        *,
        token: str | None = None,
        until: float | None,
        refresh: str | None,
    ) -> None:
        """Go on with a session under another token, until the hour that it was to end anyway. Raises ``TooLargeError``.

        A refresh token that no cookie has room for is left out: then the session ends with its access token.
        """
        if token is not None:
            session[_TOKEN] = token
        if until is not None:
            session[_UNTIL] = int(until)
        if refresh is not None:
            session[_REFRESH] = refresh
        await self._save(request, response, session)

    def renewal_of(self, session: Session) -> tuple[float, str] | None:
        """Return when the session's token ends and what a next one is had for; None where it cannot be renewed."""
        until, refresh = session.get(_UNTIL), session.get(_REFRESH)
        return (float(until), refresh) if isinstance(until, int) and isinstance(refresh, str) else None

    def of_provider(self, session: Session) -> bool:
        """Tell whether a provider gave the session's token."""
        return _UNTIL in session

    async def keep_begun(
        self, request: web.Request, response: web.StreamResponse, session: Session, begun: Mapping[str, Any] | None
    ) -> None:
        """Have the session know a sign-in at a provider that was begun, or (None) forget it; whoever is signed in stays so."""
        session.setdefault(FORM_TOKEN, secrets.token_urlsafe(24))
        if begun is None:
            session.pop(_BEGUN, None)
        else:
            session[_BEGUN] = dict(begun)
        await self._save(request, response, session)

    def begun(self, session: Session) -> object:
        """Return what the session knows of a sign-in at a provider."""
        return session.get(_BEGUN)

    async def _save(self, request: web.Request, response: web.StreamResponse, session: Session) -> None:
        for _ in range(2):
            await self._storage.save_session(request, response, session)
            if len(response.cookies[self._storage.cookie_name].value) <= _LARGEST_COOKIE:
                return
            session.pop(_REFRESH, None)
        raise TooLargeError

    async def end(self, request: web.Request, response: web.StreamResponse) -> None:
        """Take the session out of the browser."""
        await self._storage.save_session(request, response, await self._storage.new_session())

    def check_form(self, request: web.Request, session: Session, given: str) -> None:
        """Let forms of this session's own pages through.

        Raises ``ForgedFormError`` for those of another site, of which nothing may be shown, and ``StaleFormError`` for those of a page of
        ours that is older than the session.
        """
        if not self._own(request):
            raise ForgedFormError
        expected = session.get(FORM_TOKEN)
        if not isinstance(expected, str) or not hmac.compare_digest(
            expected.encode(), given.encode("utf-8", "surrogateescape")
        ):
            raise StaleFormError

    def _own(self, request: web.Request) -> bool:
        origin = request.headers.get("Origin")
        if origin is None:
            return request.headers.get("Sec-Fetch-Site") == "same-origin"
        if self._origin is not None:
            return origin == self._origin
        host = request.host.rpartition(":")[0] or request.host
        return loopback(host) and origin == f"http://{request.host}"
