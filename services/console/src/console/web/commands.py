"""What a page shows, as the command that shows it in a terminal."""

from __future__ import annotations

import re
import shlex
from urllib.parse import unquote

from yarl import URL

from console.client.commands import of_list, of_one
from console.client.operations import SERVICES
from console.client.things import EVERYWHERE, THINGS, thing_of
from console.web.lists.filtering import chosen
from console.web.screens import LISTS

_SCREENS = {
    "/": "ordersctl status",
    "/duty": "ordersctl duty weeks",
    "/proof": "ordersctl check all",
    "/tips": "ordersctl tips shadow",
}
_OTHER_LIST = re.compile(r"/list/([^/]+)")
_OTHER_ONE = re.compile(r"/one/([^/]+)/([^/]+)")
_NOUNS = {"/audit": "audit", **{path: noun for noun, path in LISTS.items()}}
_SHORT = {thing.address.removesuffix("{id}"): thing.noun for thing in THINGS.values() if thing.address}


def command_of(url: URL, *, zone: str = "UTC") -> str | None:
    """Return the command of an address of ours, whose times are in ``zone``; None where a terminal shows nothing alike."""
    path, service = url.raw_path, url.query.get("service")
    service = service if service in SERVICES else None
    if path == "/tips" and (order := url.query.get("order")):
        return shlex.join(["ordersctl", "tips", "explain", *(["--"] if order.startswith("-") else []), order])
    if path in _SCREENS:
        return _SCREENS[path]
    listed = _OTHER_LIST.fullmatch(path)
    noun = _NOUNS.get(path) or (listed[1] if listed else None)
    if noun in THINGS or noun in EVERYWHERE:
        of_whom = service if noun in EVERYWHERE else None
        thing = thing_of(noun, of_whom or "orchestrator")
        return of_list(noun, chosen(thing, url.query, zone=zone), service=of_whom)
    if (one := _OTHER_ONE.fullmatch(path)) and (one[1] in THINGS or one[1] in EVERYWHERE):
        return of_one(one[1], unquote(one[2]), service=service if one[1] in EVERYWHERE else None)
    start, _, name = path.rpartition("/")
    short = _SHORT.get(f"{start}/")
    return of_one(short, unquote(name)) if short and name else None
