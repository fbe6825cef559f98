"""Signing in with one's own token, and out."""

from __future__ import annotations

from aiohttp import web

from common.http import Route
from console.web.language import COOKIE, LANGUAGES
from console.web.pages import OURS, Console, Visit, redirect
from console.web.sessions import FORM_TOKEN
from console.web.sign_in.tokens import AWAY, Refusal, enter

_YEAR_S = 365 * 24 * 3600


def routes(console: Console) -> list[Route]:
    """Return the routes of signing in and out, and of choosing the language."""

    async def form(visit: Visit) -> web.StreamResponse:
        """Show the form, with a session that only this form can use. Who is signed in needs none."""
        if visit.signed_in is not None:
            return redirect(_ours(visit.raw.query.get("to", "")))
        return await _form(visit, AWAY if visit.away else None, status=200)

    async def sign_in(visit: Visit) -> web.StreamResponse:
        """Ask the services whose token it is; a new session if they know."""
        response = redirect(_ours(str(visit.form.get("to", ""))))
        refusal = await enter(console, visit, response, str(visit.form.get("token", "")))
        return response if refusal is None else await _form(visit, refusal, status=refusal.status)

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

    async def _form(visit: Visit, refusal: Refusal | None, *, status: int) -> web.StreamResponse:
        to = _ours(str(visit.form.get("to", visit.raw.query.get("to", ""))))
        response = web.Response(status=status, content_type="text/html", charset="utf-8")
        if FORM_TOKEN not in visit.session or (console.sessions.token_of(visit.session) and not visit.away):
            visit.session = await console.sessions.begin(visit.raw, response, token=None)
            visit.signed_in = None
        problem = visit.words(refusal.text) if refusal is not None else None
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
    return to if OURS.fullmatch(to) else "/"
