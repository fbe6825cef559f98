"""Free text that customers and staff of marketplaces wrote, before it goes to a chat (R8)."""

from __future__ import annotations

import re

from common.telemetry import scrub_text

_MASK = "[masked]"
_MOST = 4000  # far more than any notice shows; keeps a text of a megabyte from costing anything
_GAP = r"[\s().\-\u2010-\u2015/_]{0,3}"
_TAIL = re.compile(r"[\d\s().\-\u2010-\u2015/_+]+\Z")
# Ten digits or more, however they are parted, are a phone to us: in a comment nothing else of that length is worth reading.
_LONG_NUMBER = re.compile(rf"\+?\d(?:{_GAP}\d){{9,}}")
_DATE = re.compile(r"(?<!\d)(\d{1,2}[./-]\d{1,2}[./-]20[2-4]\d|20[2-4]\d-\d{2}-\d{2})(?!\d)")


def free_text(text: str) -> str:
    """Mask phones (in every way people write them), mail addresses and tokens. Dates stay; what is beyond 4,000 characters goes."""
    if len(text) > _MOST:
        text = _TAIL.sub("", text[:_MOST]) + "…"  # not half a phone
    pieces = _DATE.split(scrub_text(text))
    return "".join(piece if index % 2 else _LONG_NUMBER.sub(_MASK, piece) for index, piece in enumerate(pieces))
