"""In a storm every number is in the digest or in a list, once, and all of it fits into messages that the providers take."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.delivery.model import ChatQueue, Digest
from notifier.delivery.next_message import NextMessage
from notifier.messages.channels import CHANNELS
from notifier.messages.document import text_of
from notifier.messages.links import Links
from notifier.messages.words import Words

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NUMBERS = st.lists(st.text("AZ09-", min_size=1, max_size=64), max_size=300)
# Summaries as people write them, at their worst for mark-up.
SUMMARIES = st.text(alphabet="аж <>&*_`~🌪\u202e\n", max_size=300)


def a_digest() -> Digest:
    """A digest that is due, after an answer of it was lost."""
    return Digest(
        id=7,
        message_id=None,
        place=None,
        topic=None,
        attempts=1,
        wanted=3,
        possibly_repeated=True,
        closing=False,
        paged=frozenset(),
        due=True,
        opened_at=NOW,
    )


def named_in(pages: Any) -> list[str]:
    """What stands in the lines of numbers of these pages."""
    return [name for page in pages for line in page.lines for name in text_of(line).split(", ")]


LINKS = Links("https://console.orders.example.org")


@pytest.mark.parametrize("channel", sorted(CHANNELS))
@settings(max_examples=25)
@given(numbers=NUMBERS, kinds=st.lists(SUMMARIES, max_size=12, unique=True), summary=SUMMARIES)
def test_every_number_is_named_and_everything_fits(
    channel: str, numbers: list[str], kinds: list[str], summary: str
) -> None:
    chooser = NextMessage(channel=channel, words=Words("ru"), combine_above=3, storm_above=20, links=LINKS)
    chat = ChatQueue(key="c", address="c", now=NOW, waiting=(), windows={}, limits=())
    layout = CHANNELS[channel].layout
    lists, rest = chooser.lists(list(enumerate(numbers)))
    message = chooser.digest(
        chat,
        a_digest(),
        tally=[{"kind": kind, "severity": "critical", "state": "open", "count": 10**6} for kind in kinds],
        worst=[{"id": 10**9, "kind": "k", "summary": summary, "order_number": "N" * 64} for _ in range(5)],
        orders=rest,
        listed=(len(numbers) - len(rest), len(lists)),
    )

    assert [number for named in lists for _, number in named] == numbers[: sum(map(len, lists))]
    assert set(rest) <= set(named_in(page for page, _ in message.pages))
    assert set(numbers) == {number for named in lists for _, number in named} | set(rest)
    assert sum(layout.cost(page, mark) for page, mark in message.pages) <= layout.limit
    assert len(message.pages) <= layout.most_pages
    for part, named in enumerate(lists, start=1):
        (page,) = layout.pages(chooser.list_of([number for _, number in named], part=part))
        assert layout.cost(page, "возможно, повторно") <= layout.limit
        assert {number for _, number in named} <= set(named_in([page]))


def test_fifty_numbers_need_no_list_and_two_thousand_need_ten() -> None:
    chooser = NextMessage(channel="telegram", words=Words("en"), combine_above=3, storm_above=20)
    found = [len(chooser.lists([(each, f"SBR-{each:06}") for each in range(count)])[0]) for count in (50, 300, 2000)]
    assert found == [0, 1, 10]
