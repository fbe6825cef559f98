"""Russian or English, and the clock: which ones a page is in."""

from __future__ import annotations

from aiohttp import web

from common.moments import zone_named

LANGUAGES = ("ru", "en")
COOKIE, ZONE_COOKIE = "language", "zone"


def language_of(request: web.Request, default: str) -> str:
    """Return what the person chose, else what her browser asks for first, else the default."""
    chosen = request.cookies.get(COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    for part in request.headers.get("Accept-Language", "").split(","):
        asked = part.split(";")[0].strip()[:2].lower()
        if asked in LANGUAGES:
            return asked
    return default


def zone_of(request: web.Request, default: str) -> str:
    """Return the name of the time zone that the person chose, else the default."""
    chosen = request.cookies.get(ZONE_COOKIE, "")
    return chosen if is_zone(chosen) else default


def is_zone(name: str) -> bool:
    """Tell whether there is a time zone of this name."""
    try:
        zone_named(name)
    except ValueError:
        return False
    return True
