"""A form that a session's end kept from being sent: sign in, and it is there as it was filled in; of a plan the plan.

Nothing is sent to a service before one presses again.
"""

from __future__ import annotations

import re
from functools import partial

from aiohttp import web
from multidict import MultiDict, MultiDictProxy

from common.http import Route
from console.web.change.show_form import filled_form
from console.web.change.show_plan import APPLY, show_kept
from console.web.pages import AGAIN, Console, Visit, read_kept
from console.web.sign_in.tokens import Refusal, enter

_CHANGE = re.compile(r"/change/(?P<noun>[a-z-]+)/(?P<verb>[a-z-]+)")


def routes(console: Console) -> list[Route]:
    """Return the route."""
    return [console.post(AGAIN, partial(_again, console), summary="Sign in and go on with a form", public=True)]


async def _again(console: Console, visit: Visit) -> web.StreamResponse:
    kept = read_kept(str(visit.form.get("kept", "")))
    cookies = web.Response()
    if visit.signed_in is None:
        entered = await enter(console, visit, cookies, str(visit.form.get("token", "")))
        if isinstance(entered, Refusal):
            return visit.page(
                "templates/kept.html", status=entered.status, kept=kept, problem=visit.words(entered.text)
            )
        visit.cookies.update(cookies.cookies)  # whatever the answer is, she is signed in
    visit.form = MultiDictProxy(MultiDict(kept["fields"]))
    found = _CHANGE.fullmatch(kept["path"])
    if found is not None:
        visit.path = found.groupdict()
        return await filled_form(visit)
    return show_kept(visit) if kept["path"] == APPLY else visit.page("templates/send.html", kept=kept)
