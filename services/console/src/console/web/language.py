"""Russian or English: which one a page is in."""

from __future__ import annotations

from aiohttp import web

LANGUAGES = ("ru", "en")
COOKIE = "language"


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
