"""Signing in with one's own token, and out."""

from __future__ import annotations

from aiohttp import web

from common.http import ProviderUnavailable, Route
from common.telemetry import get_logger
from console.web.language import COOKIE, LANGUAGES, ZONE_COOKIE, is_zone
from console.web.pages import OURS, Console, Visit, redirect
from console.web.provider import CALLBACK, NotLetInError
from console.web.sessions import FORM_TOKEN
from console.web.sign_in.tokens import AWAY, NOT_BEGUN, PROVIDER_AWAY, REFUSED, Refusal, enter, enter_from_provider

_log = get_logger()
_YEAR_S = 365 * 24 * 3600


def routes(console: Console) -> list[Route]:
    """Return the routes of signing in and out, and of choosing language and time zone."""

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

    async def begin(visit: Visit) -> web.StreamResponse:
        """Lead to the provider. A link and no form: the policy of our pages lets no form end at another site."""
        if console.provider is None:
            raise web.HTTPNotFound
        try:
            begun = await console.provider.begin(to=_ours(visit.raw.query.get("to", "")))
        except ProviderUnavailable:
            return await _form(visit, PROVIDER_AWAY, status=PROVIDER_AWAY.status)
        response = redirect(begun.address)
        await console.sessions.keep_begun(visit.raw, response, visit.session, begun.kept)
        return response

    async def callback(visit: Visit) -> web.StreamResponse:
        """Take who comes back from the provider."""
        if console.provider is None:
            raise web.HTTPNotFound
        begun = console.sessions.begun(visit.session)
        try:
            tokens, to = await console.provider.finish(visit.raw.query, begun)
        except NotLetInError as error:
            _log.warning("console_sign_in_refused", reason=str(error))
            refusal = NOT_BEGUN if str(error) in ("not begun here", "state") else REFUSED
        except ProviderUnavailable:
            refusal = PROVIDER_AWAY
        else:
            response = redirect(_ours(to))
            unwelcome = await enter_from_provider(console, visit, response, tokens)
            if unwelcome is None:
                return response
            refusal = unwelcome
        shown = await _form(visit, refusal, status=refusal.status)
        if begun is not None and FORM_TOKEN in visit.session:
            await console.sessions.keep_begun(visit.raw, shown, visit.session, None)
        return shown

    async def sign_out(visit: Visit) -> web.StreamResponse:
        """Forget the session; who came from a provider goes on to its own place for that, if it has one."""
        farewell = None
        if console.provider is not None and console.sessions.of_provider(visit.session):
            farewell = await console.provider.farewell()
        visit.cookies.clear()
        visit.signed_in = None
        response = redirect("/sign-in") if farewell is None else visit.page("sign_in/out.html", farewell=farewell)
        await console.sessions.end(visit.raw, response)
        return response

    async def language(visit: Visit) -> web.StreamResponse:
        """Keep the chosen language, or time zone, in a cookie."""
        response = redirect(_ours(str(visit.form.get("to", ""))))
        for cookie, is_one in ((COOKIE, LANGUAGES.__contains__), (ZONE_COOKIE, is_zone)):
            if is_one(chosen := str(visit.form.get(cookie, ""))):
                response.set_cookie(
                    cookie, chosen, max_age=_YEAR_S, httponly=True, samesite="Lax", secure=console.settings.secure
                )
        return response

    async def _form(visit: Visit, refusal: Refusal | None, *, status: int) -> web.Response:
        to = _ours(str(visit.form.get("to", visit.raw.query.get("to", ""))))
        response = web.Response(status=status, content_type="text/html", charset="utf-8")
        if FORM_TOKEN not in visit.session or (console.sessions.token_of(visit.session) and not visit.away):
            visit.session = await console.sessions.begin(visit.raw, response, token=None)
            visit.signed_in = None
        problem = visit.words(refusal.text) if refusal is not None else None
        local = not console.settings.secure
        response.text = visit.fragment("sign_in/form.html", problem=problem, to=to, local=local)
        return response

    return [
        console.get("/sign-in", form, summary="Sign in", public=True),
        console.post("/sign-in", sign_in, summary="Sign in with a token", public=True),
        console.get("/sign-in/provider", begin, summary="Sign in with the provider", public=True),
        console.get(CALLBACK, callback, summary="Come back from the provider", public=True),
        console.post("/sign-out", sign_out, summary="Sign out", public=True),
        console.post("/language", language, summary="Choose the language or the time zone", public=True),
    ]


def _ours(to: str) -> str:
    """Return an address of the console, never of another site."""
    return to if OURS.fullmatch(to) else "/"
