"""Signing in with one's own token."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiohttp import web

from console.client.suite import UnreachableError
from console.web.pages import Console, Visit
from console.web.people import NotSignedInError

_TOKEN = re.compile(r"[!-~]{8,512}")


def _(text: str) -> str:
    """Mark a text for the catalogue."""
    return text


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody was not let in."""

    status: int
    text: str


UNKNOWN = Refusal(401, _("No service knows this token, or it is no person's."))
AWAY = Refusal(502, _("No service answers. The token was not looked at."))


async def enter(console: Console, visit: Visit, response: web.Response, token: str) -> Refusal | None:
    """Ask the services whose token it is. If they know, the response brings a new session, and the visit goes on as that person's."""
    token = token.strip()
    if _TOKEN.fullmatch(token) is None:
        return UNKNOWN
    try:
        person = await console.people.person(token)
    except NotSignedInError:
        return UNKNOWN
    except UnreachableError:
        return AWAY
    visit.session = await console.sessions.begin(visit.raw, response, token=token)
    visit.signed_in = person
    return None
