"""The runbooks of this release, as pages and inside an incident's."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from common.http import Route
from common.http.runbook_pages import runbook
from console.web.pages import Console, Visit

_FOLDER = Path(__file__).parents[2] / "runbooks"


def runbook_html(name: str, language: str) -> tuple[str, str] | None:
    """Return a runbook as HTML (mark-up in its text is shown, not obeyed) and the language it is in; None when there is none."""
    text = runbook(_FOLDER, name, language=language)
    if text is None:
        return None
    return text, language if (_FOLDER / language / f"{name}.md").is_file() else "en"


def routes(console: Console) -> list[Route]:
    """Return the route of a runbook."""
    return [console.get("/runbook/{name}", _page, summary="A runbook of this release")]


async def _page(visit: Visit) -> web.StreamResponse:
    name = visit.path["name"]
    found = runbook_html(name, visit.language)
    if found is None:
        raise web.HTTPNotFound
    return visit.page("runbook/page.html", name=name, text=found[0], text_language=found[1])
