"""Russian and English: gettext's catalogue of the locale folder, read once."""

from __future__ import annotations

import gettext
from functools import cache
from importlib.resources import files
from io import BytesIO

from aiohttp import web
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LANGUAGES = ("ru", "en")
COOKIE = "language"


@cache
def words(language: str) -> gettext.NullTranslations:
    """Return the words of a language: those of the pages, then those of the services. English stands in the pages themselves."""
    if language == "en":
        return gettext.NullTranslations()
    found = _catalogue(f"{language}.po")
    found.add_fallback(_catalogue(f"{language}.services.po"))
    return found


def _catalogue(name: str) -> gettext.GNUTranslations:
    raw = files("console.web").joinpath(f"locale/{name}").read_bytes()
    compiled = BytesIO()
    write_mo(compiled, read_po(BytesIO(raw)))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


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
