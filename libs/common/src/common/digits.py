"""Digits of other scripts, as they come out of a phone's contacts or a keyboard: a phone is compared, masked and erased by 0 to 9."""

import re

OTHER_DIGITS = "٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹０１２３４５６７８９"
"""Those that a database looks for, too: Arabic, Persian and full-width ones, 0 to 9 of each."""
_OTHER = re.compile(r"[^\D0-9]|\uff0b")
_NO_DIGITS = re.compile(r"\D+", re.ASCII)


def plain_digits(text: str) -> str:
    """Return a text with every decimal digit as one of 0 to 9 and a full-width plus as `+`; it is as long as it was."""
    return text if text.isascii() else _OTHER.sub(_plain, text)


def _plain(found: re.Match[str]) -> str:
    return "+" if found[0] == "\uff0b" else str(int(found[0]))


def digits_of(text: str) -> str:
    """Return a text's digits as 0 to 9, and nothing else of it."""
    return _NO_DIGITS.sub("", plain_digits(text))
