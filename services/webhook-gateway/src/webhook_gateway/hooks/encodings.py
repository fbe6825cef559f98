"""How a body is encoded: compressed or not, and in which characters."""

from __future__ import annotations

import re
import zlib
from functools import lru_cache
from typing import Literal

Coding = Literal["plain", "gzip", "deflate"]

READ = "gzip, deflate"
"""What ``Accept-Encoding`` says with a 415."""

_CODINGS: dict[str, Coding] = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
_PLAIN = frozenset({"", "identity", "none"})
_SINGLE_BYTE = re.compile(
    r"iso-?(?P<iso>8859)-?(?P<part>1[013-6]?|[2-9])|(?:windows|win|x-cp|cp|ibm)-?(?P<page>125[0-8]|437|850|852|855|866)|koi8-?(?P<koi>[rut])"
)
_CHARSETS = {
    **dict.fromkeys(("utf-8", "utf8", "csutf8", "utf-8-sig", "us-ascii", "ascii", "unicode-1-1-utf-8"), "utf-8"),
    **dict.fromkeys(("latin1", "latin-1", "l1"), "latin-1"),
    **{name: name for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "big5", "gbk", "gb2312", "gb18030")},
    **{name: name for name in ("euc-jp", "euc-kr", "iso-2022-jp")},
    "x-mac-cyrillic": "mac-cyrillic", "shift-jis": "shift_jis", "utf16": "utf-16", "utf32": "utf-32", "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be", "cyrillic": "iso8859-5",
}  # fmt: skip
_CHARSET_PARAMETER = re.compile(r";\s*charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_WIDE = frozenset({"utf-16", "utf-16-le", "utf-16-be", "utf-32"})
_WIDE_MARKS = frozenset({b"\xff\xfe", b"\xfe\xff"})

_WBITS = {"gzip": 31, "deflate": 15}
_BARE = -15
_MOST_MEMBERS = 1000  # of gzip: each costs a window of its own
_HEADER = 2  # bytes by which the two things that are called deflate are told apart


@lru_cache(maxsize=1024)
def coding_of(value: str) -> Coding | None:
    """Return how a body with this ``Content-Encoding`` (all its lines, joined by commas) is compressed, None when nobody here reads it.

    Many senders put a charset there; that means plain, as do ``identity``, ``none`` and nothing at all.
    """
    names = [name for part in value.split(",") if not _is_plain(name := part.strip().lower())]
    if not names:
        return "plain"
    return _CODINGS.get(names[0]) if len(names) == 1 else None


def _is_plain(name: str) -> bool:
    return name in _PLAIN or _codec(name) is not None


def _codec(name: str) -> str | None:
    name = name.strip("\"' \t").lower().replace("_", "-")  # RFC 2978 has iso_8859-1 too, and many write utf_8
    found = _SINGLE_BYTE.fullmatch(name)
    if found is None:
        return _CHARSETS.get(name)
    page, koi, part = found.group("page", "koi", "part")
    return f"cp{page}" if page else f"koi8-{koi}" if koi else f"iso8859-{part}"


@lru_cache(maxsize=1024)
def charset_of(content_type: str, content_encoding: str) -> str | None:
    """Return Python's name of the charset that the headers declare, None for UTF-8 and for what is no charset."""
    found = _CHARSET_PARAMETER.search(content_type)
    for name in (found[1] if found else "", *content_encoding.split(",")):
        codec = _codec(name)
        if codec is not None:
            return None if codec == "utf-8" else codec
    return None


def to_utf8(content: bytes, charset: str | None) -> bytes:
    """Return text of a declared charset as UTF-8; the bytes as they are when they are UTF-8 all the same, or no text of that charset.

    A wrong label is commoner than text that is UTF-8 by chance. What begins with the mark of UTF-16 is that, whatever was declared.
    """
    if content[:2] in _WIDE_MARKS:
        charset = "utf-16"
    if charset is None:
        return content
    try:
        if charset not in _WIDE and _is_utf8(content):
            return content
        return content.decode(charset).encode()
    except (UnicodeError, LookupError):
        return content


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


class Unfolding:
    """Decompresses piece by piece, never more than it is asked for.

    Several gzip members follow each other; zeros may follow the end. RFC 9110's deflate has zlib's head, some send it bare.
    """

    def __init__(self, coding: Literal["gzip", "deflate"]) -> None:
        self._coding = coding
        self._stream = zlib.decompressobj(wbits=_WBITS[coding])
        self._head = b""
        self._begun = coding == "gzip"
        self._members = 1

    def feed(self, piece: bytes, *, most: int) -> bytes:
        """Return what the piece unfolds to, at most ``most`` bytes (positive) of it. Raises ``zlib.error``."""
        if not self._begun:
            piece = self._head + piece
            if len(piece) < _HEADER:
                self._head = piece
                return b""
            self._begun = True
            if int.from_bytes(piece[:_HEADER], "big") % 31 or piece[0] & 0x0F != zlib.DEFLATED:
                self._stream = zlib.decompressobj(wbits=_BARE)
        unfolded: list[bytes] = []
        size = 0
        while piece and size < most:
            if self._stream.eof:
                piece = piece.lstrip(b"\x00")
                if not piece:
                    break
                self._members += 1
                if self._coding != "gzip" or self._members > _MOST_MEMBERS:
                    raise zlib.error("something follows the end")
                self._stream = zlib.decompressobj(wbits=_WBITS["gzip"])
            part = self._stream.decompress(piece, most - size)
            unfolded.append(part)
            size += len(part)
            piece = self._stream.unused_data
        return b"".join(unfolded)

    @property
    def whole(self) -> bool:
        """Whether its end has come."""
        return self._stream.eof
