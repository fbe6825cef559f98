"""Signing in with one's own token, and out."""

from __future__ import annotations

import re

from aiohttp import web

from common.http import Route
from console.client.suite import UnreachableError
from console.web.language import COOKIE, LANGUAGES
from console.web.pages import Console, Visit, redirect
from console.web.people import NotSignedInError
from console.web.sessions import FORM_TOKEN

_TOKEN = re.compile(r"[!-~]{8,512}")
_OURS = re.compile(r"/(?![/\\])[^\s\\]*")
_YEAR_S = 365 * 24 * 3600


def routes(console: Console) -> list[Route]:
    """Return the routes of signing in and out, and of choosing the language."""

    async def form(visit: Visit) -> web.StreamResponse:
        """Show the form, with a session that only this form can use."""
        return await _form(visit, status=200, problem=None)

    async def sign_in(visit: Visit) -> web.StreamResponse:
        """Ask the services whose token it is; a new session if they know."""
        token = str(visit.form.get("token", "")).strip()
        if _TOKEN.fullmatch(token) is None:
            return await _form(visit, status=401, problem="unknown")
        try:
            await console.people.person(token)
        except NotSignedInError:
            return await _form(visit, status=401, problem="unknown")
        except UnreachableError:
            return await _form(visit, status=502, problem="away")
        response = redirect(_ours(str(visit.form.get("to", ""))))
        await console.sessions.begin(visit.raw, response, token=token)
        return response

    async def sign_out(visit: Visit) -> web.StreamResponse:
        """Forget the session."""
        response = redirect("/sign-in")
        await console.sessions.end(visit.raw, response)
        return response

    async def language(visit: Visit) -> web.StreamResponse:
        """Keep the chosen language in a cookie."""
        chosen = str(visit.form.get("language", ""))
        response = redirect(_ours(str(visit.form.get("to", ""))))
        if chosen in LANGUAGES:
            response.set_cookie(
                COOKIE, chosen, max_age=_YEAR_S, httponly=True, samesite="Lax", secure=console.settings.secure
            )
        return response

    async def _form(visit: Visit, *, status: int, problem: str | None) -> web.StreamResponse:
        to = _ours(str(visit.form.get("to", visit.raw.query.get("to", ""))))
        response = web.Response(status=status, content_type="text/html", charset="utf-8")
        if FORM_TOKEN not in visit.session or console.sessions.token_of(visit.session):
            visit.session = await console.sessions.begin(visit.raw, response, token=None)
            visit.signed_in = None
        response.text = visit.fragment("sign_in/form.html", problem=problem, to=to)
        return response

    return [
        console.get("/sign-in", form, summary="Sign in", public=True),
        console.post("/sign-in", sign_in, summary="Sign in with a token", public=True),
        console.post("/sign-out", sign_out, summary="Sign out", public=True),
        console.post("/language", language, summary="Choose the language", public=True),
    ]


def _ours(to: str) -> str:
    """Return an address of the console, never of another site."""
    return to if _OURS.fullmatch(to) else "/"
