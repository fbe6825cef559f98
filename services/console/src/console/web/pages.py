"""What every page goes through: session, form token, language, errors as pages, headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web
from aiohttp_session import Session
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from multidict import MultiDict, MultiDictProxy
from yarl import URL

from common.http import Request, Route
from common.telemetry import get_logger
from console.client.acts import Act
from console.client.suite import RefusedError, UnreachableError
from console.client.things import value
from console.web import filters
from console.web.headers import HEADERS, OVER_TLS
from console.web.language import language_of, words
from console.web.links import LINKS, address_of, link_of
from console.web.people import NotSignedInError, People, Person
from console.web.screens import NAVIGATION
from console.web.sessions import FORM_TOKEN, ForgedFormError, Sessions
from console.web.settings import ConsoleSettings

_log = get_logger()
_FOLDER = Path(__file__).parent
Form = MultiDictProxy[Any]


class NotUnderstoodError(Exception):
    """What a person filled in, or an address, makes no sense; the text says what to put right."""


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

    @property
    def person(self) -> Person:
        """Who is signed in. Only on pages that ask for it."""
        if self.signed_in is None:
            raise NotSignedInError
        return self.signed_in

    def words(self, text: str, **values: object) -> str:
        """Return a text in the person's language."""
        return words(self.language).gettext(text) % values if values else words(self.language).gettext(text)

    def refusal(self, act: Act) -> str | None:
        """Return why the person may not do something, None when she may."""
        operation = act.operation
        if self.person.may(operation):
            return None
        if operation.service in self.person.away:
            return self.words("%(service)s does not answer", service=operation.service)
        return self.words("needs the role %(role)s", role=operation.role or "admin")

    def fragment(self, template: str, **values: object) -> str:
        """Render a part of a page."""
        environment = self.console.environment(self.language)
        values.setdefault("command", self.console.command_of(self.raw.rel_url) if self.raw.method == "GET" else None)
        return environment.get_template(template).render(
            visit=self,
            person=self.signed_in,
            language=self.language,
            path=self.raw.rel_url.raw_path,
            here=str(self.raw.rel_url),
            form_token=self.session.get(FORM_TOKEN, ""),
            zone=self.console.settings.time_zone,
            environment_name=self.console.settings.environment,
            navigation=NAVIGATION,
            **values,
        )

    def page(self, template: str, *, status: int = 200, **values: object) -> web.Response:
        """Answer with a page."""
        return web.Response(
            text=self.fragment(template, **values), status=status, content_type="text/html", charset="utf-8"
        )


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
    command_of: Callable[[URL], str | None]
    """What an address shows, as a command for a terminal."""
    _environments: dict[str, Environment] = field(default_factory=dict)

    def environment(self, language: str) -> Environment:
        """Return Jinja for a language."""
        found = self._environments.get(language)
        if found is None:
            found = self._environments[language] = _environment(language, self.settings.time_zone)
        return found

    def get(self, path: str, handler: Handler, *, summary: str, public: bool = False) -> Route:
        """Return the route of a page; ``public``: also for who has not signed in."""
        return self._route("GET", path, handler, summary, public=public)

    def post(self, path: str, handler: Handler, *, summary: str, public: bool = False) -> Route:
        """Return the route of a form."""
        return self._route("POST", path, handler, summary, public=public)

    def _route(self, method: str, path: str, handler: Handler, summary: str, *, public: bool) -> Route:
        served = partial(self._serve, handler, public)
        return Route(method=method, path=path, handler=served, summary=summary, hidden=True)

    async def _serve(self, handler: Handler, public: bool, request: Request[None, None]) -> web.StreamResponse:
        visit = Visit(
            self,
            request.raw,
            await self.sessions.load(request.raw),
            language_of(request.raw, self.settings.language),
            MultiDictProxy(MultiDict()),
            path=request.path,
        )
        try:
            response = await self._answer(visit, handler, public=public)
        except Exception as error:
            answered = self._failed(visit, error)
            if answered is None:
                raise
            response = answered
        if not response.prepared:
            response.headers.update(HEADERS)
            if self.settings.secure:
                response.headers.update(OVER_TLS)
        return response

    async def _answer(self, visit: Visit, handler: Handler, *, public: bool) -> web.StreamResponse:
        if visit.raw.method == "POST":
            visit.form = await visit.raw.post()
            self.sessions.check_form(visit.raw, visit.session, str(visit.form.get(FORM_TOKEN, "")))
        token = self.sessions.token_of(visit.session)
        if token is not None:
            try:
                visit.signed_in = await self.people.person(token)
            except NotSignedInError:
                if not public:
                    raise
            except UnreachableError:
                if not public:
                    raise
        elif not public:
            raise NotSignedInError
        return await handler(visit)

    def _failed(self, visit: Visit, error: Exception) -> web.Response | None:
        """Return the page of an error that people can do something about."""
        if isinstance(error, NotSignedInError):
            if visit.raw.method == "GET":
                return redirect(f"/sign-in?to={quote(str(visit.raw.rel_url), safe='')}")
            return visit.page("templates/error.html", status=401, title=visit.words("Signed out"), why="session_over")
        if isinstance(error, ForgedFormError):
            return visit.page("templates/error.html", status=403, title=visit.words("Not done"), why="forged")
        if isinstance(error, NotUnderstoodError):
            return visit.page(
                "templates/error.html", status=400, title=visit.words("Not understood"), why="text", text=str(error)
            )
        if isinstance(error, web.HTTPException) and error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return visit.page(
                "templates/error.html",
                status=error.status,
                title=visit.words("Not found"),
                why="text",
                text=visit.words("There is no such page."),
            )
        if isinstance(error, UnreachableError):
            _log.warning("console_service_away", service=error.service)
            return visit.page(
                "templates/error.html", status=502, title=visit.words("No answer"), why="away", service=error.service
            )
        if isinstance(error, RefusedError):
            title = visit.words("Not found") if error.status == HTTPStatus.NOT_FOUND else visit.words("Refused")
            status = error.status if error.status in (400, 403, 404, 409, 422, 429) else 502
            return visit.page("templates/error.html", status=status, title=title, why="refused", error=error)
        return None


def _environment(language: str, zone: str) -> Environment:
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
        filters.writers(language=language, zone=zone, now=lambda: datetime.now(UTC), translate=catalogue.gettext)
    )
    found.globals.update(
        value=value,
        MONEY=filters.MONEY,
        LINKS=LINKS,
        link_of=link_of,
        address_of=address_of,
        now=lambda: datetime.now(UTC),
        now_plus=lambda **later: datetime.now(UTC) + timedelta(**later),
    )
    return found


def names(given: Sequence[str]) -> tuple[str, ...]:
    """Return names of things without empty and repeated ones, in their order."""
    return tuple(dict.fromkeys(name for name in (each.strip() for each in given) if name))
