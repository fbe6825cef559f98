"""Pictures of pages that carry with them, as a text of the PNG itself, what was to be read in them when they were taken."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterable, Iterator

from playwright.async_api import Page

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEYWORD = b"Description\x00"
_HEADINGS = """inside => [...document.querySelectorAll("nav a, h1, h2")]
  .filter(each => each.checkVisibility() && (!inside || each.getBoundingClientRect().top < innerHeight))
  .map(each => each.innerText)"""
_NAMES_AND_FIGURES = re.compile(r"\S*\d\S*")


async def headings(page: Page, *, in_sight: bool) -> list[str]:
    """What leads through a page: its menu and headings in their order, without names and figures; all of it, or only what a picture would
    show."""
    said = await page.evaluate(_HEADINGS, in_sight)
    return [" ".join(_NAMES_AND_FIGURES.sub("#", text).split()) for text in said]


def with_text(picture: bytes, texts: Iterable[str]) -> bytes:
    """The picture with these texts in it."""
    held = _KEYWORD + json.dumps(sorted(set(texts))).encode("ascii")
    chunk = struct.pack(">I", len(held)) + b"tEXt" + held + struct.pack(">I", zlib.crc32(b"tEXt" + held))
    end = picture.rindex(b"IEND") - 4
    return picture[:end] + chunk + picture[end:]


def text_of(picture: bytes) -> set[str]:
    """The texts in a picture; none where it has none."""
    return next(
        (set(json.loads(held[len(_KEYWORD) :])) for held in _texts(picture) if held.startswith(_KEYWORD)), set()
    )


def _texts(picture: bytes) -> Iterator[bytes]:
    assert picture.startswith(_SIGNATURE)
    at = len(_SIGNATURE)
    while at < len(picture):
        (length,) = struct.unpack(">I", picture[at : at + 4])
        if picture[at + 4 : at + 8] == b"tEXt":
            yield picture[at + 8 : at + 8 + length]
        at += 12 + length
