"""Texts that people and machines send us: no phone reaches a chat, and no alert floods one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from common.contracts.orders import OrderCreatedV1, OrderSnapshot
from notifier.incidents.model import ProblemFact
from notifier.inputs.orders import order_fact
from notifier.messages.channels import CHANNELS
from notifier.messages.document import Document, Section, Span, plain, text_of
from notifier.messages.incident_notices import render_problem
from notifier.messages.layout.mail import MailLayout
from notifier.messages.layout.slack import SlackLayout
from notifier.messages.layout.telegram import TelegramLayout
from notifier.messages.order_notices import render_order
from notifier.messages.words import Words

NOW = datetime(2026, 11, 21, tzinfo=UTC)
WORDS = Words("ru")
_DIGITS = str.maketrans("", "", " ()-.\u00a0–")


def text_of_notice(comment: str) -> str:
    """The text of a new order's notice with that comment."""
    order = OrderSnapshot(
        number="N1",
        source="sbermarket",
        external_id="H1",
        version=1,
        status="created",
        closed_for_changes=False,
        shipped=False,
        comment=comment,
        updated_at=NOW,
    )
    event = OrderCreatedV1(order=order, notify=True, occurred_at=NOW)
    return "\n".join(text_of(line) for line in render_order(order_fact(event), WORDS).flatten())


@pytest.mark.parametrize(
    "written",
    [
        "тел.89161234567",
        "тел89161234567",
        "8.916.123.45.67",
        "+7.916.123.45.67",
        "8 916 12 34 567",
        "375291234567",
        "916-123-45-67доб5",
        "8-916-123-45-67",
        "+7\u00a0916\u00a0123\u00a045\u00a067",
        "8 916 123 45 67",
        "8–916–123–45–67",
        "8/916/123/45/67",
        "8_916_123_45_67",
    ],
)
def test_a_phone_in_a_comment_never_reaches_the_chat(written: str) -> None:
    text = text_of_notice(f"позвонить {written} домофон 12")
    assert "домофон 12" in text
    assert "12345" not in text.translate(_DIGITS).replace("/", "").replace("_", "")
    assert "29123" not in text


def test_what_a_picker_needs_of_a_comment_stays() -> None:
    kept = "кв. 45, подъезд 2, этаж 12, домофон 45К1234, молоко 3,2 % 2 шт. до 21.11.2026 18:00-20:00"
    assert kept in text_of_notice(kept)


def test_a_phone_is_masked_wherever_it_stands_in_a_comment_of_a_million_characters() -> None:
    words = "очень длинно " * 300  # 3,900 characters: phones fall on every place where the text is searched in pieces
    text = text_of_notice("".join(f"{words}{'ы' * shift} 8 916 123 45 67 " for shift in range(250)))
    assert text.count("[masked]") == 250
    assert "916" not in text
    assert text.count("очень длинно") == 250 * 300


def a_problem(**changes: Any) -> ProblemFact:
    """A problem with something changed."""
    values: dict[str, Any] = {
        "kind": "problem.alert",
        "severity": "critical",
        "fingerprint": "f",
        "summary": "s",
        "service": "gateway",
        "occurred_at": NOW,
    }
    return ProblemFact(**{**values, **changes})


@pytest.mark.parametrize("channel", ["telegram", "slack"])
def test_an_alert_with_an_endless_description_is_a_few_pages_at_most(channel: str) -> None:
    fact = a_problem(
        what_to_do="перезапустить " * 70_000,
        details={f"label{index}": "v" * 10_000 for index in range(100)},
    )
    document = render_problem(fact, transition="opened", environment="production", words=WORDS)
    assert len(CHANNELS[channel].layout.pages(document)) <= 6


@pytest.mark.parametrize("layout", [TelegramLayout(), SlackLayout(), MailLayout()])
def test_a_link_longer_than_a_page_gives_way_to_the_text(layout: TelegramLayout | SlackLayout | MailLayout) -> None:
    link = "https://prometheus/graph?g0.expr=" + "sum%28rate%28x%29%29%3E1" * 300
    line = (Span("x" * 300, "plain", link),)
    document = render_problem(a_problem(), transition="opened", environment="production", words=WORDS, links=line)
    for page in layout.pages(document):
        assert layout.cost(page, "возможно, повторно") <= layout.limit
        if isinstance(layout, SlackLayout):
            assert layout.cost(page, None) <= 2904


def test_a_line_with_a_long_link_is_cut_without_losing_text() -> None:
    line = (Span("a" * 2000, "plain", "https://example.org/" + "q" * 3000), plain("b" * 2000))
    document = Document(title=(plain("t"),), sections=(Section(lines=(line,)),))
    for layout in (TelegramLayout(), SlackLayout()):
        pages = layout.pages(document)
        text = "".join(text_of(each) for page in pages for each in page.lines)
        assert text == "t" + "a" * 2000 + "b" * 2000
        assert all(layout.cost(page, None) <= layout.limit for page in pages)
