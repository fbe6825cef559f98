"""Cursors are opaque, typed, and never trusted."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.http import InvalidCursor, Page, decode_cursor, encode_cursor, page_of

MOMENT = datetime(2026, 11, 21, 7, 30, 1, 123456, tzinfo=UTC)


def test_a_cursor_gives_back_what_was_put_in() -> None:
    assert decode_cursor(encode_cursor(MOMENT, 7, "ключ", 0.5), datetime, int, str, float) == (MOMENT, 7, "ключ", 0.5)
    assert decode_cursor(None, int) is None


@given(st.text(max_size=200))
def test_no_text_makes_it_raise_anything_but_invalid_cursor(text: str) -> None:
    try:
        [number] = decode_cursor(text, int) or [0]
    except InvalidCursor:
        return
    assert isinstance(number, int)


@pytest.mark.parametrize(
    ("values", "types"),
    [((1,), (str,)), (("1",), (int,)), ((True,), (int,)), ((1, 2), (int,)), ((2**63,), (int,)), (("nul\x00",), (str,)),
     (("2026-11-21T10:00:00",), (datetime,)), (("soon",), (datetime,)),
     (("0001-01-01T00:00:00+14:00",), (datetime,)), (("9999-12-31T23:59:59-12:00",), (datetime,)), ((None,), (int,)), ((), (int,))],
)  # fmt: skip
def test_a_cursor_of_another_list_is_refused(values: tuple[object, ...], types: tuple[type, ...]) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(encode_cursor(*values), *types)


def test_json_that_is_no_list_is_refused() -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(base64.urlsafe_b64encode(b'{"a":1}').decode(), int)


def test_the_row_beyond_the_limit_only_says_that_there_is_more() -> None:
    def page(rows: list[int]) -> Page[str]:
        return page_of(rows, limit=2, item=str, key=lambda row: (row,))

    assert page([3, 2, 1]) == Page(items=["3", "2"], next_cursor=encode_cursor(2))
    assert page([3, 2]) == Page(items=["3", "2"], next_cursor=None)
    assert page([]) == Page(items=[], next_cursor=None)
