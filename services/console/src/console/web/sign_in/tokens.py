"""Signing in with one's own token."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiohttp import web

from console.client.suite import UnreachableError
from console.web.pages import Console, Visit
from console.web.people import NotSignedInError
from console.web.provider import Tokens
from console.web.sessions import TooLargeError

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
NO_ROLE = Refusal(
    403,
    _("The services do not let you in: none of your groups has a role here. Whoever runs the suite can give one."),
)
NOT_BEGUN = Refusal(400, _("This sign-in was not begun in this browser, or too long ago. Begin again."))
REFUSED = Refusal(403, _("The provider did not let you in."))
PROVIDER_AWAY = Refusal(502, _("The provider does not answer. Your own token works without it."))
TOO_LARGE = Refusal(
    403, _("What the provider says of you does not fit into a session. Whoever runs the suite can have it say less.")
)
AWAY = Refusal(502, _("No service answers. The token was not looked at."))


async def enter(console: Console, visit: Visit, response: web.Response, token: str) -> Refusal | None:
    """Ask the services whose token it is. If they know, the response brings a new session, and the visit goes on as that person's."""
    token = token.strip()
    return UNKNOWN if _TOKEN.fullmatch(token) is None else await _enter(console, visit, response, Tokens(token, 0))


async def enter_from_provider(console: Console, visit: Visit, response: web.Response, tokens: Tokens) -> Refusal | None:
    """Ask the services who it is that the provider let in, and begin her session as ``enter`` does."""
    refusal = await _enter(console, visit, response, tokens)
    return NO_ROLE if refusal is UNKNOWN else refusal


async def _enter(console: Console, visit: Visit, response: web.Response, tokens: Tokens) -> Refusal | None:
    try:
        person = await console.people.person(tokens.access)
        visit.session = await console.sessions.begin(
            visit.raw, response, token=tokens.access, until=tokens.until or None, refresh=tokens.refresh
        )
    except NotSignedInError:
        return UNKNOWN
    except UnreachableError:
        return AWAY
    except TooLargeError:
        return TOO_LARGE
    visit.signed_in = person
    return None
