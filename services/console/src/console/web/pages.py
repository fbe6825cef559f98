"""What every page goes through: session, form token, language, errors as pages, headers."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web
from aiohttp_session import Session
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from multidict import MultiDict, MultiDictProxy

from common.http import ProviderUnavailable, Request, Route
from common.telemetry import get_logger
from console.client.acts import Act
from console.client.fit import unfit_for_all
from console.client.made import made_by, next_of
from console.client.money import MONEY
from console.client.suite import RefusedError, UnreachableError
from console.client.things import value
from console.client.words import words
from console.web import filters
from console.web.language import language_of, zone_of
from console.web.links import LINKS, address_of, link_of
from console.web.people import NotSignedInError, People, Person
from console.web.provider import NotLetInError, Provider
from console.web.screens import NAVIGATION, list_path
from console.web.sessions import FORM_TOKEN, ForgedFormError, Sessions, StaleFormError, TooLargeError
from console.web.settings import ConsoleSettings

_log = get_logger()
_RENEWED_BEFORE_S = 60.0
_FOLDER = Path(__file__).parent
Form = MultiDictProxy[Any]
OURS = re.compile(r"/(?![/\\])[^\s\\\x00-\x1f\x7f]*")
"""An address of the console, never of another site."""
AGAIN = "/again"
"""Where a form goes that a session's end kept from being sent."""


class NotUnderstoodError(Exception):
    """What a person filled in, or an address, makes no sense; the text says what to put right."""


_ZONE: ContextVar[str] = ContextVar("zone")
"""The time zone of the page that is being written: templates are compiled once for all zones."""
_LONGEST_WAY_BACK = 2000
"""Characters: a header that is longer is cut by what stands in front."""


@dataclass(slots=True)
class Visit:
    """One request of one person: what her page may use."""

    console: Console
    raw: web.Request
    session: Session
    language: str
    form: Form
    signed_in: Person | None = None
    path: Mapping[str, str] = field(default_factory=dict)
    away: bool = False
    """Nobody could be asked whose session it is."""
    patient: bool = False
    """It is a page that is read: what does not answer soon is left out of it."""
    cookies: SimpleCookie = field(default_factory=SimpleCookie)
    """What the answer sets, whatever else it is."""

    @property
    def person(self) -> Person:
        """Who is signed in. Only on pages that ask for it."""
        if self.signed_in is None:
            raise NotSignedInError
        return self.signed_in

    @property
    def zone(self) -> str:
        """The name of the time zone of what she reads and fills in."""
        return zone_of(self.raw, self.console.settings.time_zone)

    def words(self, text: str, **values: object) -> str:
        """Return a text in the person's language."""
        return words(self.language).gettext(text) % values if values else words(self.language).gettext(text)

    def refusal(self, act: Act) -> str | None:
        """Return why the person may not do something, None when she may."""
        operation = act.operation
        if self.person.may(operation):
            return None
        if operation.service not in self.person.permissions and operation.service in self.person.away:
            return self.words("%(service)s does not answer", service=operation.service)
        if operation.is_for(self.person.role):
            return self.words("the token is not for that")
        return self.words("needs the role %(role)s", role=self.words(operation.role or "admin"))

    def unfit(self, act: Act, *items: Mapping[str, Any]) -> str | None:
        """Return why an act fits none of these things as they are, in the person's language; None where it may."""
        why = unfit_for_all(act.name, items, now=datetime.now(UTC))
        if why is None or " " in why:
            return None if why is None else self.words(why)
        return self.words(
            "not possible: %(state)s", state=self.console.environment(self.language).filters["label"](why)
        )

    def fragment(self, template: str, **values: object) -> str:
        """Render a part of a page."""
        environment = self.console.environment(self.language)
        _ZONE.set(self.zone)
        values.setdefault(
            "command", self.console.command_of(self.raw.rel_url, zone=self.zone) if self.raw.method == "GET" else None
        )
        return environment.get_template(template).render(
            visit=self,
            person=self.signed_in,
            language=self.language,
            path=self.raw.rel_url.raw_path,
            here=str(self.raw.rel_url) if self.raw.method == "GET" else None,  # nothing leads back to what was sent
            form_token=self.session.get(FORM_TOKEN, ""),
            zone=self.zone,
            environment_name=self.console.settings.environment,
            provider=self.console.settings.oidc_name if self.console.provider is not None else None,
            navigation=NAVIGATION,
            **values,
        )

    def page(self, template: str, *, status: int = 200, **values: object) -> web.Response:
        """Answer with a page."""
        return web.Response(
            text=self.fragment(template, **values), status=status, content_type="text/html", charset="utf-8"
        )

    def error(self, status: int, title: str, why: str, **values: object) -> web.Response:
        """Answer with the page of an error."""
        return self.page("templates/error.html", status=status, title=title, why=why, **values)


async def _form_of(request: web.Request) -> Form:
    try:
        return await request.post()
    except (ValueError, LookupError):  # not text, of no charset that there is, not in the parts that it says
        raise web.HTTPBadRequest from None


def redirect(to: str) -> web.Response:
    """Send the browser on; ``to`` is an address of ours."""
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": to})


Handler = Callable[[Visit], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Console:
    """What the pages share."""

    settings: ConsoleSettings
    people: People
    sessions: Sessions
    command_of: Callable[..., str | None]
    """What an address shows, as a command for a terminal."""
    provider: Provider | None = None
    _environments: dict[str, Environment] = field(default_factory=dict)

    def environment(self, language: str) -> Environment:
        """Return Jinja for a language."""
        found = self._environments.get(language)
        if found is None:
            found = self._environments[language] = _environment(language)
        return found

    def get(self, path: str, handler: Handler, *, summary: str, public: bool = False, streamed: bool = False) -> Route:
        """Return the route of a page; ``public``: also for who has not signed in; ``streamed``: it takes as long as it takes."""
        return self._route("GET", path, handler, summary, public=public, patient=not streamed)

    def post(self, path: str, handler: Handler, *, summary: str, public: bool = False) -> Route:
        """Return the route of a form."""
        return self._route("POST", path, handler, summary, public=public)

    def _route(
        self, method: str, path: str, handler: Handler, summary: str, *, public: bool, patient: bool = False
    ) -> Route:
        served = partial(self._serve, handler, public, patient)
        return Route(method=method, path=path, handler=served, summary=summary, hidden=True)

    async def _serve(
        self, handler: Handler, public: bool, patient: bool, request: Request[None, None]
    ) -> web.StreamResponse:
        visit = await self.visit(request.raw)
        visit.patient = patient
        visit.path = request.path
        try:
            response = await self._answer(visit, handler, public=public)
        except Exception as error:
            answered = await self._failed(visit, error)
            if answered is None:
                raise
            response = answered
        if not response.prepared:
            for name, cookie in visit.cookies.items():
                if name not in response.cookies:
                    response.cookies[name] = cookie
        return response

    async def _answer(self, visit: Visit, handler: Handler, *, public: bool) -> web.StreamResponse:
        posted = visit.raw.method == "POST"
        if posted:
            visit.form = await _form_of(visit.raw)
        stale = False
        try:
            if posted:
                self.sessions.check_form(visit.raw, visit.session, str(visit.form.get(FORM_TOKEN, "")))
        except StaleFormError:
            stale = True
        await self._recognise(visit, public=public)
        if stale and public and visit.raw.path != AGAIN:
            raise ForgedFormError
        if stale:
            raise StaleFormError
        if visit.signed_in is not None and visit.patient:
            visit.signed_in = visit.signed_in.for_a_page()
        try:
            return await handler(visit)
        except RefusedError as error:
            if visit.signed_in is None or not visit.signed_in.lost_by(error):
                raise
            self.people.forget(visit.signed_in.suite.token)
            raise NotSignedInError from None

    async def _recognise(self, visit: Visit, *, public: bool) -> None:
        """Find out who it is. Raises ``NotSignedInError`` and ``UnreachableError``; never for what is ``public``."""
        if self.provider is not None:
            await self._renew(visit, self.provider)
        token = self.sessions.token_of(visit.session)
        if token is None:
            if not public:
                raise NotSignedInError
            return
        try:
            visit.signed_in = (await self.people.person(token)).reading(visit.language)
        except NotSignedInError:
            if not public:
                raise
        except UnreachableError:
            visit.away = True
            if not public:
                raise

    async def _renew(self, visit: Visit, provider: Provider) -> None:
        """Have a provider's token renewed before it ends. While that fails the session goes on with what it has, as long as that lasts."""
        renewal = self.sessions.renewal_of(visit.session)
        if renewal is None or renewal[0] - time.time() > _RENEWED_BEFORE_S:
            return
        carrier = web.Response()
        try:
            new = await provider.renewed(renewal[1])
            await self.sessions.renew(
                visit.raw, carrier, visit.session, token=new.access, until=new.until, refresh=new.refresh
            )
        except (NotLetInError, ProviderUnavailable, TooLargeError) as error:
            _log.warning("console_session_not_renewed", error=type(error).__name__)
            return
        visit.cookies.update(carrier.cookies)

    async def _failed(self, visit: Visit, error: Exception) -> web.Response | None:
        """Return the page of an error that people can do something about."""
        if isinstance(error, (NotSignedInError, StaleFormError)):
            return await self._session_over(visit, stale=isinstance(error, StaleFormError))
        if isinstance(error, ForgedFormError):
            return visit.error(403, visit.words("Not done"), "forged")
        if isinstance(error, NotUnderstoodError):
            return visit.error(400, visit.words("Not understood"), "text", text=str(error))
        if isinstance(error, web.HTTPException) and error.status >= HTTPStatus.BAD_REQUEST:
            return self.page_of(visit, error.status)
        if isinstance(error, UnreachableError):
            _log.warning("console_service_away", service=error.service)
            return visit.error(502, visit.words("No answer"), "away", service=error.service)
        if isinstance(error, RefusedError):
            title = visit.words("Not found") if error.status == HTTPStatus.NOT_FOUND else visit.words("Refused")
            status = error.status if error.status in (400, 403, 404, 409, 422, 429) else 502
            return visit.error(status, title, "refused", error=error)
        return None

    async def _session_over(self, visit: Visit, *, stale: bool) -> web.Response:
        """Have the person sign in (again). What she filled in stays on the page, and goes on from there."""
        if visit.raw.headers.get("HX-Request"):
            return web.Response(
                text=visit.fragment("templates/over.html"), status=401, content_type="text/html", charset="utf-8"
            )
        if visit.raw.method != "POST":
            wanted = quote(str(visit.raw.rel_url), safe="")
            return redirect(f"/sign-in?to={wanted}" if len(wanted) <= _LONGEST_WAY_BACK else "/sign-in")
        response = web.Response(status=403 if stale else 401, content_type="text/html", charset="utf-8")
        if FORM_TOKEN not in visit.session:
            visit.session = await self.sessions.begin(visit.raw, response, token=None)
        response.text = visit.fragment("templates/kept.html", kept=kept_of(visit), problem=None)
        return response

    async def visit(self, request: web.Request) -> Visit:
        """Return a request as one of a person who is known so far by her cookie only."""
        session = await self.sessions.load(request)
        language = language_of(request, self.settings.language)
        return Visit(self, request, session, language, MultiDictProxy(MultiDict()))

    def page_of(self, visit: Visit, status: int) -> web.Response:
        """Return the page of an HTTP status that has no more to say; ours to mend from 500 on."""
        title = visit.words("Not found") if status == HTTPStatus.NOT_FOUND else visit.words("Not understood")
        text = visit.words("There is no such page.")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            title = visit.words("It failed here")
            text = visit.words("The console failed, and its developers know. Sending the same page again does it once.")
        elif status == HTTPStatus.METHOD_NOT_ALLOWED:
            text = visit.words("This address takes no such request.")
        elif status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            text = visit.words("That is more than one page can send.")
        elif status != HTTPStatus.NOT_FOUND:
            text = visit.words("The browser sent what is no form.")
        return visit.error(status, title, "text", text=text)


def _environment(language: str) -> Environment:
    found = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
        auto_reload=False,
    )
    catalogue = words(language)
    found.install_gettext_translations(catalogue, newstyle=True)  # type: ignore[attr-defined]  # the extension adds it
    found.filters.update(
        filters.writers(language=language, zone=_ZONE.get, now=lambda: datetime.now(UTC), translate=catalogue.gettext)
    )
    found.globals.update(
        value=value,
        MONEY=MONEY,
        LINKS=LINKS,
        link_of=link_of,
        address_of=address_of,
        made_by=made_by,
        next_of=next_of,
        list_path=list_path,
        now=lambda: datetime.now(UTC),
        now_plus=lambda **later: datetime.now(UTC) + timedelta(**later),
    )
    return found


def kept_of(visit: Visit) -> Mapping[str, Any]:
    """Return what a form held and where it was sent, but for what proves the session: a page can hold it and send it again."""
    if visit.raw.path == AGAIN:
        return read_kept(str(visit.form.get("kept", "")))
    fields = [
        (name, text) for name, text in visit.form.items() if isinstance(text, str) and name not in (FORM_TOKEN, "token")
    ]
    return {"path": visit.raw.path, "fields": fields}


def read_kept(text: str) -> Mapping[str, Any]:
    """Read what ``kept_of`` wrote into a page. Raises ``NotUnderstoodError`` for anything else, or an address that is not ours."""
    try:
        found = json.loads(text)
        fields = [(str(name), str(given)) for name, given in found["fields"]]
        path = str(found["path"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise NotUnderstoodError("this page does not hold a form") from None
    if OURS.fullmatch(path) is None:
        raise NotUnderstoodError("this page does not hold a form")
    return {"path": path, "fields": fields}


def names(given: Sequence[str]) -> tuple[str, ...]:
    """Return names of things without empty and repeated ones, in their order."""
    return tuple(dict.fromkeys(name for name in (each.strip() for each in given) if name))
