"""What an order holds beside its goods, as pickers and store read it: nothing is cut, nobody's data is whole."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest

from common.contracts import Envelope
from common.contracts.orders import (
    DeliveryWindow,
    OrderChangedV1,
    OrderCreatedV1,
    OrderCustomer,
    OrderDifference,
    OrderSnapshot,
    Position,
)
from notifier.incidents.model import ProblemFact
from notifier.inputs.orders import OrderNotices, order_fact
from notifier.messages.channels import CHANNELS
from notifier.messages.document import Document, Page, text_of
from notifier.messages.incident_notices import render_problem
from notifier.messages.layout import telegram
from notifier.messages.order_notices import render_order
from notifier.messages.words import Words
from notifier.routing.model import Destination, Route, Routes

NUMBER = "7Q3M0V9XK2TDW8RC"
EVENING = DeliveryWindow(
    starts=datetime.fromisoformat("2026-11-29T18:00:00+03:00"), ends=datetime.fromisoformat("2026-11-29T20:00:00+03:00")
)
ALLERGY = "АЛЛЕРГИЯ НА ОРЕХИ"
WORDS = Words("ru")


def snapshot(**changes: Any) -> OrderSnapshot:
    """An order with something changed."""
    values: dict[str, Any] = {
        "number": NUMBER, "source": "sbermarket", "external_id": "H1", "version": 2, "status": "created", "closed_for_changes": False,
        "shipped": False, "store_id": "17", "updated_at": EVENING.starts,
    }  # fmt: skip
    return OrderSnapshot(**{**values, **changes})


def notice_of(order: OrderSnapshot, difference: OrderDifference | None = None) -> Document:
    """The notice of a new order, or of a changed one."""
    moment = order.updated_at
    event = (
        OrderCreatedV1(order=order, notify=True, occurred_at=moment)
        if difference is None
        else OrderChangedV1(order=order, notify=True, occurred_at=moment, difference=difference)
    )
    return render_order(order_fact(event), WORDS)


def lines_of(document: Document) -> list[str]:
    """Its lines without mark-up."""
    return [text_of(line) for line in document.flatten()]


def parts_of(document: Document, channel: str) -> list[str]:
    """Its pages as texts, joined as a reader joins the lines of one."""
    return ["".join(text_of(line) for line in page.lines) for page in CHANNELS[channel].layout.pages(document)]


def comment_of(size: int) -> str:
    """A comment of exactly that many characters; what matters stands at its end."""
    words = " ".join(f"слово{number}" for number in range(size))
    return f"{words[: size - len(ALLERGY) - 1]} {ALLERGY}"


@pytest.mark.parametrize("channel", ["telegram", "slack"])
@pytest.mark.parametrize("size", [1_588, 4_001, 40_000, 300_000])
def test_a_long_comment_is_told_to_its_last_word(channel: str, size: int) -> None:
    comment = comment_of(size)
    document = notice_of(snapshot(comment=comment))
    pages = CHANNELS[channel].layout.pages(document)
    told = "".join(text_of(line) for page in pages for line in (page.lines[1:] if page.number > 1 else page.lines))
    assert f"Комментарий: {comment}" in told
    assert ALLERGY in parts_of(document, channel)[-1]


@pytest.mark.parametrize("channel", ["telegram", "slack"])
def test_every_part_of_a_long_notice_names_the_order(channel: str) -> None:
    document = notice_of(snapshot(comment=comment_of(20_000)))
    pages = CHANNELS[channel].layout.pages(document)
    assert len(pages) > 3
    for page in pages:
        said = " ".join(text_of(line) for line in page.lines)
        assert said.count(NUMBER) == 1
        assert said.count("🆕 Новый заказ H1") == 1
        assert CHANNELS[channel].layout.cost(page, "возможно, повторно") <= CHANNELS[channel].layout.limit


@pytest.mark.parametrize("shrink", range(6))
def test_parts_fit_however_small_a_provider_wants_them(shrink: int) -> None:
    order = snapshot(comment="<&> " * 3_000, external_id="<&>")
    for name in ("telegram", "slack"):
        layout = CHANNELS[name].layout
        pages = layout.pages(notice_of(order), shrink=shrink)
        assert all(layout.cost(page, None) <= max(540, layout.limit >> shrink) for page in pages)
        assert all(NUMBER in " ".join(map(text_of, page.lines)) for page in pages)


def test_words_stay_whole_where_a_long_line_is_cut() -> None:
    comment = comment_of(5_000)
    [*parts] = (page for page in CHANNELS["telegram"].layout.pages(notice_of(snapshot(comment=comment))))
    lines = [text_of(line) for page in parts for line in page.lines]
    words = {word for line in lines for word in line.split() if word.startswith("слово")}
    assert words <= set(comment.split())


@pytest.mark.parametrize(
    "changes",
    [
        {"comment": comment_of(9_000)},
        {"positions": (Position(id="nuts", name=comment_of(2_000), quantity="1"),)},
    ],
    ids=["comment", "name of goods"],
)
def test_no_text_of_an_order_is_cut(changes: dict[str, Any]) -> None:
    assert ALLERGY in "\n".join(lines_of(notice_of(snapshot(**changes))))


def test_both_comments_of_a_change_are_told_whole() -> None:
    before, after = comment_of(3_000), comment_of(3_500)
    lines = lines_of(notice_of(snapshot(), OrderDifference(fields=(("comment", before, after),))))
    assert f"Комментарий: {before} → {after}" in lines


def test_an_incident_of_an_order_tells_its_difference_whole() -> None:
    fact = ProblemFact(
        kind="problem.order_changed_after_closing", severity="warning", fingerprint="f", summary="s", service="orchestrator",
        occurred_at=snapshot().updated_at, order_number=NUMBER, details={"added": "nuts × 1; " * 400 + "last × 1"},
    )  # fmt: skip
    document = render_problem(fact, transition="opened", environment="production", words=WORDS)
    parts = parts_of(document, "telegram")
    assert len(parts) > 1
    assert all(NUMBER in part for part in parts)
    assert parts[-1].rstrip().endswith("last × 1")


def test_a_new_order_says_when_and_to_whom_it_goes() -> None:
    order = snapshot(
        customer=OrderCustomer(name="И***", phone="+7***67", email="i***@example.org"),
        address="Москва, Т***",
        delivery_window=EVENING,
    )
    lines = lines_of(notice_of(order))
    assert "Время доставки: 29.11.2026 18:00–20:00 (UTC+03:00)" in lines
    assert "Адрес: Москва, Т***" in lines
    assert any(line.startswith("Покупатель: И***, +7***67") for line in lines)


def test_no_phone_stands_in_any_text_of_an_order() -> None:
    said = "звонить +7 999 000-11-22"
    window = DeliveryWindow(text=said)
    order = snapshot(comment=said, replacement_policy=said, shipment_method=said, delivery_window=window, address=said)
    told = "\n".join(lines_of(notice_of(order)))
    assert (told.count("звонить [masked]"), "999" in told) == (5, False)


def test_a_change_of_address_contact_window_and_store_says_what() -> None:
    fields = (
        ("customer.phone", "+7***67", "+7***00"),
        ("customer.name", "И***", "П***"),
        ("address", "Москва, Т***", "Москва, А***"),
        ("delivery_window", "2026-11-29T18:00+03:00 – 2026-11-29T20:00+03:00", "2026-11-30T10:00+03:00 – 2026-12-01T12:00+03:00"),
        ("store_id", "17", "18"),
    )  # fmt: skip
    lines = lines_of(notice_of(snapshot(store_id="18"), OrderDifference(fields=fields)))
    assert lines[2:] == [
        "Магазин: 17 → 18",
        "Время доставки: 29.11.2026 18:00–20:00 (UTC+03:00) → 30.11.2026 10:00 – 01.12.2026 12:00 (UTC+03:00)",
        "Адрес: Москва, Т*** → Москва, А***",
        "Покупатель: И*** → П***",
        "Телефон: +7***67 → +7***00",
    ]


def test_a_change_behind_the_mask_is_told_as_a_change() -> None:
    lines = lines_of(notice_of(snapshot(), OrderDifference(fields=(("address", "Москва, Т***", "Москва, Т***"),))))
    assert "Адрес: новое значение, Москва, Т***" in lines


@pytest.mark.parametrize("said", ["вечером", "с 18 – до 20", "2026-13-45T99:00 – позже", "после 20:00 – "])
def test_a_window_said_in_words_is_told_in_these_words(said: str) -> None:
    fields = (("delivery_window", None, said),)
    assert f"Время доставки: нет → {said}".strip() in [
        line.strip() for line in lines_of(notice_of(snapshot(), OrderDifference(fields=fields)))
    ]
    assert f"Время доставки: {said}".strip() in [
        line.strip() for line in lines_of(notice_of(snapshot(delivery_window=DeliveryWindow(text=said))))
    ]


def test_goods_that_stand_in_for_others_are_told_as_a_replacement() -> None:
    oats, rice = Position(id="oats", name="Овсянка", quantity="2"), Position(id="rice", name="Рис", quantity="1")
    lines = lines_of(
        notice_of(
            snapshot(positions=(rice,)),
            OrderDifference(
                added=(rice.model_copy(update={"replaces": "oats"}), Position(id="tea", name="Чай", quantity="1", replaces="x-9")),
                removed=(oats,),
            ),
        )
    )  # fmt: skip
    assert lines[2:] == ["Замена:", "• Овсянка × 2 → Рис × 1", "• x-9 → Чай × 1"]


def routes_by_store() -> Routes:
    """Each store has a chat of its own."""
    chats = {name: Destination(name=name, channel="telegram", address=name) for name in ("100", "200")}
    route = Route(name="orders", match={"kind": ("order.*",)}, to=("@pickers",))
    return Routes(destinations=chats, routes=(route,), stores={"17": {"pickers": "100"}, "18": {"pickers": "200"}})


def changed_store() -> Envelope:
    """An order went from store 17 to store 18."""
    event = OrderChangedV1(
        order=snapshot(store_id="18"),
        notify=True,
        occurred_at=snapshot().updated_at,
        difference=OrderDifference(fields=(("store_id", "17", "18"),)),
    )
    return Envelope.of(
        event, event_id="e", source="/orchestrator", subject=NUMBER, time=snapshot().updated_at, traceparent=None
    )


def test_the_store_that_an_order_has_left_is_told_too() -> None:
    notices = OrderNotices(routes=routes_by_store(), words=WORDS, environment="production")
    assert [each.destination.name for each in notices.notice(changed_store()).chosen] == ["200", "100"]


def test_a_notice_links_to_the_order_where_its_data_is_whole() -> None:
    notices = OrderNotices(
        routes=routes_by_store(), words=WORDS, environment="production", console_url="https://console.example/"
    )
    document = notices.notice(changed_store()).document
    assert document is not None
    html, _ = telegram.compose([(Page(lines=document.flatten()), None)])
    assert re.findall(r'href="([^"]*)"', html) == [f"https://console.example/o/{NUMBER}"]
