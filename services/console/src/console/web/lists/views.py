"""Saved views: filters that a person comes back to. They are hers and her browser's, in a cookie that only this console can read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from aiohttp import web
from aiohttp_session import Session
from aiohttp_session.cookie_storage import EncryptedCookieStorage

from console.web.settings import ConsoleSettings

_MOST = 20
_LONGEST_NAME = 40
_MOST_BYTES = 2_400  # browsers take cookies of four thousand, and sealing makes a half more of it
_YEAR_S = 365 * 24 * 3600

Views = Mapping[str, Mapping[str, str]]
"""By the list's noun: the views' names and their filters, as an address has them."""


class TooManyViewsError(Exception):
    """No more fit: one has to go first."""


class SavedViews:
    """Each person's views, in one cookie a browser. Nothing is kept here."""

    def __init__(self, settings: ConsoleSettings) -> None:
        key = hashlib.sha256(b"views:" + settings.session_key.get_secret_value().encode()).digest()
        self._storage = EncryptedCookieStorage(
            key,
            cookie_name="__Host-views" if settings.secure else "views",
            max_age=_YEAR_S,
            secure=settings.secure,
            httponly=True,
            samesite="Lax",
        )

    async def of(self, request: web.Request, person: str) -> Views:
        """Return a person's views; none where the cookie is not ours."""
        return _read((await self._load(request)).get(person))

    async def keep(
        self, request: web.Request, response: web.StreamResponse, *, person: str, noun: str, name: str, query: str
    ) -> None:
        """Keep a view under a name, in place of the one that had it. Raises ``TooManyViewsError``."""
        kept = {each: dict(views) for each, views in (await self.of(request, person)).items()}
        kept.setdefault(noun, {})[name[:_LONGEST_NAME]] = query
        if sum(map(len, kept.values())) > _MOST or len(repr(kept).encode()) > _MOST_BYTES:
            raise TooManyViewsError
        await self._save(request, response, person, kept)

    async def forget(
        self, request: web.Request, response: web.StreamResponse, *, person: str, noun: str, name: str
    ) -> None:
        """Forget a view; one that is not there is forgotten already."""
        kept = {each: dict(views) for each, views in (await self.of(request, person)).items()}
        kept.get(noun, {}).pop(name, None)
        await self._save(request, response, person, {each: views for each, views in kept.items() if views})

    async def _load(self, request: web.Request) -> Session:
        try:
            return await self._storage.load_session(request)
        except (ValueError, TypeError, AttributeError):
            return await self._storage.new_session()

    async def _save(self, request: web.Request, response: web.StreamResponse, person: str, kept: Views) -> None:
        """Only the latest person's stay: a browser that two people use keeps those of who saved last."""
        session = await self._storage.new_session()
        session[person] = kept
        await self._storage.save_session(request, response, session)


def _read(found: object) -> Views:
    if not isinstance(found, Mapping):
        return {}
    return {
        str(noun): {str(name): str(query) for name, query in views.items()}
        for noun, views in found.items()
        if isinstance(views, Mapping)
    }
