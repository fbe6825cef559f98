"""The addresses that messages link to, as pages. Without a token they show what a chat shows; who signs in sees texts and tickets whole."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import get_args

from aiohttp import web

from common.http import Request, Route, TokenBook
from common.http.routes import Handler
from common.http.runbook_pages import runbook
from common.postgres import Database, Record, member
from notifier.delivery.notifications import problem_of
from notifier.incidents.kinds import runbook_of
from notifier.incidents.model import IncidentState
from notifier.messages.document import Document, Line, Section, Span, bold, plain
from notifier.messages.incident_notices import IncidentNow, render_problem, status_line
from notifier.messages.links import Links, Page, links_of
from notifier.messages.words import Words
from notifier.pages import layout
from notifier.pages.store import Known, known_of
from notifier.people.model import Directory

_SCOPE = "notifier:admin:read"
_RUNBOOKS = Path(__file__).parents[1] / "runbooks"
_OURS = re.compile(r"/(?:i|o|w|r|d|e|t|runbook)/[^/?#\s\\]+")


class Pages:
    """Reads only. An address that nothing is known of answers 404, as a page too."""

    def __init__(
        self, *, database: Database, tokens: TokenBook, directory: Directory, words: Words, sentry: str | None = None
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._directory = directory
        self._words = words
        self._sentry = sentry

    async def about(self, page: Page, request: Request[None, None]) -> web.StreamResponse:
        """Answer what the notifier knows of an incident, an order, a workflow, a refund, a delivery, an endangered order or a ticket."""
        name = request.path["name"]
        known = await known_of(self._database, page, name)
        signed_in = self._signed_in(request)
        title = f"{self._words[f'page.{page}']} {name}"
        documents = [Document(title=(bold(title),), sections=(self._sign_in(request, signed_in=signed_in),))]
        documents += map(self._incident, known.incidents)
        documents += [self._ticket(row, whole=signed_in) for row in known.tickets]
        documents += self._notices(known, whole=signed_in)
        found = bool(known.incidents or known.tickets or known.notices)
        if not found:
            documents.append(Document(title=(plain(self._words["page.nothing"]),)))
        return self._answer(title, layout.html(documents), status=200 if found else 404)

    async def runbook(self, request: Request[None, None]) -> web.StreamResponse:
        """Answer a runbook of this release."""
        name = request.path["name"]
        text = runbook(_RUNBOOKS, name, language=self._words.language)
        nothing = layout.html([Document(title=(plain(self._words["page.nothing"]),))])
        return self._answer(name, nothing if text is None else text, status=404 if text is None else 200)

    async def sign_in(self, request: Request[None, None]) -> web.StreamResponse:
        """Have the browser ask for a token (the password; the user's name does not matter), and go back to the page."""
        if not self._signed_in(request):
            body = layout.html([Document(title=(plain("401"),))])
            answer = self._answer("401", body, status=401)
            answer.headers["WWW-Authenticate"] = 'Basic realm="order suite", charset="UTF-8"'
            return answer
        target = request.raw.query.get("to", "")
        return web.Response(status=303, headers={"Location": target if _OURS.fullmatch(target) else "/on-call"})

    def routes(self) -> list[Route]:
        """Return the routes, open to anybody who reaches the service; no part of the API, so not in its document."""
        pages: dict[str, Handler] = {
            f"/{page}/{{name}}": partial(self.about, page) for page in get_args(Page) if page != "runbook"
        }
        handlers: dict[str, Handler] = {**pages, "/runbook/{name}": self.runbook, "/sign-in": self.sign_in}
        return [
            Route(method="GET", path=path, handler=handler, summary="A page for people", hidden=True)
            for path, handler in handlers.items()
        ]

    def _answer(self, title: str, body: str, *, status: int) -> web.Response:
        text = layout.page(title, body, language=self._words.language)
        return web.Response(
            text=text, status=status, content_type="text/html", charset="utf-8", headers=dict(layout.HEADERS)
        )

    def _signed_in(self, request: Request[None, None]) -> bool:
        header = request.raw.headers.get("Authorization", "")
        scheme, _, value = header.partition(" ")
        if scheme.lower() == "basic":
            try:
                header = "Bearer " + base64.b64decode(value, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return False
        who = self._tokens.from_header(header)
        return who is not None and who.has("viewer") and who.within(_SCOPE)

    def _sign_in(self, request: Request[None, None], *, signed_in: bool) -> Section:
        link = Span(self._words["page.sign_in"], "plain", f"/sign-in?to={request.raw.rel_url.raw_path}")
        return Section(lines=() if signed_in else ((link,),))

    def _incident(self, row: Record) -> Document:
        """The notice that chats got, and how it stands now."""
        fact, here = problem_of(row), Links("", sentry=self._sentry)
        document = render_problem(
            fact,
            transition="resolved" if row["state"] == "resolved" else "opened",
            environment=row["environment"],
            words=self._words,
            links=links_of(fact, row["id"], links=here, words=self._words, runbook=runbook_of(fact)),
            order_link=None if fact.order_number is None else here.page("o", fact.order_number),
        )
        now = IncidentNow(**{name: row[name] for name in _NOW}, state=member(IncidentState, row["state"]))
        state = status_line(now, self._words, name_of=self._directory.name_of)
        sections = document.sections if state is None else (Section(lines=((plain(state),),)), *document.sections)
        return Document(title=document.title, sections=sections)

    def _ticket(self, row: Record, *, whole: bool) -> Document:
        key = row["key"] or f"#{row['id']}"
        title: Line = (
            Span(f"{self._words['page.t']} {key}", "bold", f"/t/{row['key'] or row['id']}"),
            plain(f" · {row['queue']} · {row['state']} · {row['summary']}"),
        )
        lines = [*row["description"].splitlines(), *self._said(row["comments"])]
        return Document(title=title, sections=(Section(lines=tuple((plain(line),) for line in lines if whole)),))

    def _said(self, comments: Iterable[Mapping[str, str]]) -> list[str]:
        return [f"{self._directory.name_of(each['author'])}: {each['text']}" for each in comments]

    def _notices(self, known: Known, *, whole: bool) -> list[Document]:
        if not known.notices:
            return []
        lines: list[Line] = [
            (
                plain(
                    f"{self._words.there(row['occurred_at']):%Y-%m-%d %H:%M:%S %Z} · {row['kind']} → {_where(row)} · {row['state']}"
                ),
            )
            for row in known.notices
        ]
        documents = [
            Document(title=(bold(self._words["page.sent"]),), sections=(Section(lines=tuple(lines), bullets=True),))
        ]
        texts = {str(row["document"]): row["document"] for row in known.notices if whole and row["document"]}
        return documents + [Document.from_json(text) for text in texts.values()]


_NOW = ("id", "kind", "severity", "acknowledged_by", "acknowledged_at", "resolved_by", "resolved_at", "version")


def _where(row: Record) -> str:
    return f"{row['channel']}: {row['destination']}" if row["destination"] else "—"
