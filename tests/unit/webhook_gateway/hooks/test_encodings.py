"""How bodies are encoded: what counts as plain, what is unfolded, and in which characters text is read."""

from __future__ import annotations

import gzip
import json
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_gateway.hooks.encodings import Unfolding, charset_of, coding_of, to_utf8

TEXT = json.dumps({"comment": "Позвонить за час, ёлка №5"}, ensure_ascii=False)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "identity",
        "None",
        "UTF-8",
        "utf8",
        "windows-1251",
        "cp1251",
        "ISO-8859-1",
        "latin1",
        "KOI8-R",
        "utf_8",
        '"UTF-8"',
        "ISO_8859-5",
        "IBM866",
        "Shift_JIS",
        "identity, utf-8",
    ],
)
def test_nothing_identity_and_the_names_of_charsets_mean_plain(value: str) -> None:
    assert coding_of(value) == "plain"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("gzip", "gzip"),
        ("X-GZIP", "gzip"),
        ("gzip, identity", "gzip"),
        ("identity,deflate", "deflate"),
        ("utf-8, gzip", "gzip"),
    ],
)
def test_a_list_is_read_when_one_of_its_codings_compresses(value: str, expected: str) -> None:
    assert coding_of(value) == expected


@pytest.mark.parametrize("value", ["br", "zstd", "compress", "gzip, br", "gzip, gzip", "rot13", "zip", "идентити"])
def test_anything_else_is_not_read_here(value: str) -> None:
    assert coding_of(value) is None


def bare(data: bytes) -> bytes:
    """Deflate without zlib's head, as some send it."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


@given(
    parts=st.lists(st.binary(max_size=400), min_size=1, max_size=4),
    padding=st.integers(0, 600),
    cuts=st.lists(st.integers(0, 2000), max_size=6),
    coding=st.sampled_from(["gzip", "zlib", "bare"]),
)
def test_members_padding_and_both_forms_of_deflate_unfold_however_they_are_cut(
    parts: list[bytes], padding: int, cuts: list[int], coding: str
) -> None:
    whole = b"".join(parts)
    folded = {
        "gzip": b"".join(gzip.compress(part) for part in parts),
        "zlib": zlib.compress(whole),
        "bare": bare(whole),
    }[coding] + bytes(padding)
    unfolding = Unfolding("gzip" if coding == "gzip" else "deflate")
    edges = [0, *sorted(cut for cut in cuts if cut < len(folded)), len(folded)]
    found = b"".join(unfolding.feed(folded[start:end], most=1_000_000) for start, end in pairwise(edges) if end > start)
    assert (found, unfolding.whole) == (whole, True)


def test_what_follows_the_end_and_is_no_member_is_refused() -> None:
    for coding, folded in (("gzip", gzip.compress(b"{}")), ("deflate", zlib.compress(b"{}"))):
        with pytest.raises(zlib.error):
            Unfolding(coding).feed(folded + b"garbage", most=100)  # type: ignore[arg-type]  # the two names of the literal


def test_never_more_is_unfolded_than_was_asked_for() -> None:
    bomb = gzip.compress(bytes(10_000_000)) + gzip.compress(bytes(10_000_000))
    assert len(Unfolding("gzip").feed(bomb, most=1_000)) == 1_000


@pytest.mark.parametrize(
    ("content_type", "content_encoding", "expected"),
    [
        ("application/json", "", None),
        ("application/json; charset=UTF-8", "", None),
        ("application/json; charset=windows-1251", "", "cp1251"),
        ('application/json;Charset="koi8-r"', "", "koi8-r"),
        ("application/json", "windows-1251", "cp1251"),
        ("application/json; charset=win-1251", "", "cp1251"),
        ("application/json; charset=x-unknown", "", None),
    ],
)
def test_the_charset_is_the_one_that_the_headers_declare(
    content_type: str, content_encoding: str, expected: str | None
) -> None:
    assert charset_of(content_type, content_encoding) == expected


@pytest.mark.parametrize(
    ("written", "codec"),
    [
        *((name, "cp1251") for name in ("windows-1251", "Windows1251", "cp1251", "CP-1251", "win-1251", "x-cp1251")),
        *((name, "koi8-r") for name in ("KOI8-R", "koi8r", "koi8_r")),
        *((name, "iso8859-5") for name in ("ISO-8859-5", "iso88595", "cyrillic")),
        *((name, "cp866") for name in ("cp866", "IBM-866")),
        *((name, "utf-16-le") for name in ("utf-16le", "UTF-16-LE", "utf_16_le")),
        ("utf-16", "utf-16"),
    ],
)
def test_text_is_read_by_its_declared_charset_however_that_is_spelled(written: str, codec: str) -> None:
    text = TEXT.replace("№", "N")  # koi8-r has no such sign
    assert to_utf8(text.encode(codec), charset_of(f"application/json; charset={written}", "")).decode() == text


@pytest.mark.parametrize("declared", [None, "cp1251", "utf-16-be"])
@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_text_with_the_mark_of_utf_16_is_that(declared: str | None, codec: str) -> None:
    assert to_utf8(("\ufeff" + TEXT).encode(codec), declared).decode() == TEXT


def test_text_that_is_utf_8_all_the_same_or_no_text_of_the_charset_stays_as_it_came() -> None:
    assert to_utf8(TEXT.encode(), "windows-1251") == TEXT.encode()
    assert to_utf8(b"\x98\xff", "windows-1251") == b"\x98\xff"  # 0x98 is no character there
