"""Russian and English words of both tools: gettext's catalogue, read once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gettext


@cache
def words(language: str) -> gettext.NullTranslations:
    """Return the words of a language: those of the pages, then those of the services. English stands in the pages themselves."""
    import gettext

    if language == "en":
        return gettext.NullTranslations()
    found = _catalogue(f"{language}.po")
    found.add_fallback(_catalogue(f"{language}.services.po"))
    return found


def _catalogue(name: str) -> gettext.GNUTranslations:
    import gettext
    from io import BytesIO

    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    raw = files("console").joinpath(f"web/locale/{name}").read_bytes()
    compiled = BytesIO()
    write_mo(compiled, read_po(BytesIO(raw)))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def called(name: str, language: str) -> str:
    """Return a name of ours in a language; as it stands where the catalogue does not have it, as in English."""
    asked = label(name)
    found = words(language).gettext(asked)
    return name if found == asked else found


def headings(columns: Sequence[str], language: str) -> Sequence[str]:
    """Return what stands over columns: in Russian their own names, without what they are parts of."""
    return columns if language == "en" else [called(each.rpartition(".")[2], language) for each in columns]


def label(name: str) -> str:
    """Return a field's, column's or state's name as English words: the key of its translation."""
    if name == "reserved":  # of a payment: by its own name it looks like one more sum beside what was refunded
        return "given back or on its way"
    return re.sub(r"[_.\-]+", " ", name.removeprefix("RS_") if name.isupper() else name).strip().lower()
