"""Rate limits: what is admitted, how long the refused ones wait, and that nothing is charged for a refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.limits import LimitBook, SlidingWindow, TokenBucket, admit


def test_a_bucket_gives_its_burst_and_then_one_token_a_second() -> None:
    bucket = TokenBucket(rate=1.0, burst=2)
    waits = [admit([bucket], now) for now in (0.0, 0.0, 0.0, 0.4, 1.0, 1.0, 2.0)]
    assert waits == pytest.approx([0, 0, 1.0, 0.6, 0, 1.0, 0])


def test_a_window_never_holds_more_than_its_limit() -> None:
    window = SlidingWindow(limit=2, seconds=60.0)
    waits = [admit([window], now) for now in (0.0, 10.0, 30.0, 59.0, 60.0, 61.0, 70.0)]
    assert waits == pytest.approx([0, 0, 30.0, 1.0, 0, 9.0, 0])


def test_a_call_that_one_limit_refuses_is_charged_to_none() -> None:
    narrow, wide = SlidingWindow(limit=1, seconds=10.0), SlidingWindow(limit=2, seconds=10.0)
    assert [admit([narrow, wide], 0.0), admit([narrow, wide], 1.0), admit([wide], 1.0)] == [0, 9.0, 0]


def test_each_key_has_its_own_limit_until_the_book_is_cleared() -> None:
    book = LimitBook()
    first = book.get("a", lambda: SlidingWindow(1, 1.0))
    assert book.get("a", lambda: SlidingWindow(9, 9.0)) is first
    assert book.get("b", lambda: SlidingWindow(1, 1.0)) is not first
    book.clear()
    assert book.get("a", lambda: SlidingWindow(1, 1.0)) is not first


@given(st.lists(st.floats(min_value=0, max_value=3), max_size=120), st.integers(1, 5))
def test_no_window_of_time_ever_admits_more_than_the_limit(gaps: list[float], limit: int) -> None:
    window = SlidingWindow(limit=limit, seconds=5.0)
    now, admitted = 0.0, []
    for gap in gaps:
        now += gap
        if admit([window], now) == 0:
            admitted.append(now)
    for first, beyond in zip(admitted, admitted[limit:], strict=False):
        assert beyond - first >= 5.0 - 1e-6


@given(st.lists(st.floats(min_value=0, max_value=2), max_size=120))
def test_waiting_as_told_is_always_enough(gaps: list[float]) -> None:
    bucket, window = TokenBucket(rate=1.0, burst=2), SlidingWindow(limit=20, seconds=60.0)
    now = 0.0
    for gap in gaps:
        now += gap
        if wait := admit([bucket, window], now):
            now += wait + 1e-6
            assert admit([bucket, window], now) == 0
