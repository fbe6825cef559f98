"""What pickers and store read: whole texts, in both languages."""

from __future__ import annotations

import pytest

from notifier.messages.document import Document, Page, text_of
from notifier.messages.layout import telegram
from notifier.messages.order_notices import Difference, Goods, Order, OrderFact, render_order
from notifier.messages.words import Words, languages

MILK = Goods(id="sku-1", name="Молоко <3,2 %> & сливки", quantity="2", price=8000)
BREAD = Goods(id="sku-2", quantity="1.0", price=4550)
ORDER = Order(
    number="7Q3M0V9XK2TDW8RC",
    external_id="H123",
    version=3,
    status="created",
    source="sbermarket",
    store_id="17",
    comment="Без пакета",
    shipment_method="pickup",
    replacement_policy="call_or_cancel",
    goods=(MILK, BREAD),
    total=20550,
    discounted_total=20550,
)
DIFFERENCE = Difference(
    added=(Goods(id="sku-9", name="Сок", quantity="1"),),
    removed=(BREAD,),
    changed=(
        (MILK, Goods(id="sku-1", name="Молоко <3,2 %> & сливки", quantity="0.500", price=8000)),
        (Goods(id="sku-5", quantity="1", price=100), Goods(id="sku-5", quantity="1", price=90)),
    ),
    fields=(("comment", None, "Позвоните"), ("replacement_policy", "replace", "cancel"), ("zone", "a", "b")),
)


def text_of_notice(
    kind: str, *, language: str = "ru", difference: Difference | None = None, reason: str | None = None
) -> str:
    """Render a notice as Telegram gets it."""
    words = Words("ru" if language == "ru" else "en")
    document = render_order(OrderFact(kind=kind, order=ORDER, notify=True, difference=difference, reason=reason), words)
    html, _ = telegram.compose([(Page(lines=document.flatten()), None)])
    return html


SAMPLES = {
    ("order.created", "ru"): (
        "<b>🆕 Новый заказ H123</b>\n"
        "№ <code>7Q3M0V9XK2TDW8RC</code> · магазин 17\n"
        "<b>Состав (2):</b>\n"
        "• Молоко &lt;3,2 %&gt; &amp; сливки × <b>2</b>\n"
        "• sku-2 × <b>1</b>\n"
        "Комментарий: Без пакета\n"
        "Замены: позвонить, не дозвонились — убрать\n"
        "Получение: самовывоз\n"
        "Сумма: 205,50 ₽"
    ),
    ("order.created", "en"): (
        "<b>🆕 New order H123</b>\n"
        "№ <code>7Q3M0V9XK2TDW8RC</code> · store 17\n"
        "<b>Goods (2):</b>\n"
        "• Молоко &lt;3,2 %&gt; &amp; сливки × <b>2</b>\n"
        "• sku-2 × <b>1</b>\n"
        "Comment: Без пакета\n"
        "Replacements: call; no answer: remove\n"
        "Handover: pick-up\n"
        "Total: 205.50 ₽"
    ),
    ("order.changed", "ru"): (
        "<b>✏️ Заказ изменён H123</b>\n"
        "№ <code>7Q3M0V9XK2TDW8RC</code> · магазин 17\n"
        "<b>Добавлено:</b>\n"
        "• Сок × <b>1</b>\n"
        "<b>Убрано:</b>\n"
        "• sku-2 × <b>1</b>\n"
        "<b>Количество:</b>\n"
        "• Молоко &lt;3,2 %&gt; &amp; сливки: 2 → <b>0,5</b>\n"
        "<b>Цена:</b>\n"
        "• sku-5: 1,00 ₽ → <b>0,90 ₽</b>\n"
        "Комментарий: нет → <b>Позвоните</b>\n"
        "Замены: заменить без звонка → <b>не заменять, убрать</b>\n"
        "Сумма: 205,50 ₽"
    ),
    ("order.paid", "ru"): (
        "<b>💳 Заказ оплачен H123</b>\n"
        "№ <code>7Q3M0V9XK2TDW8RC</code> · магазин 17\n"
        "Состав не изменился.\n"
        "Сумма: 205,50 ₽"
    ),
    ("order.received", "ru"): ("<b>🚚 Заказ передан курьеру H123</b>\n№ <code>7Q3M0V9XK2TDW8RC</code> · магазин 17"),
    ("order.delivered", "ru"): "<b>✅ Заказ доставлен H123</b>\n№ <code>7Q3M0V9XK2TDW8RC</code> · магазин 17",
    ("order.cancelled", "ru"): (
        "<b>❌ Заказ отменён H123</b>\n"
        "№ <code>7Q3M0V9XK2TDW8RC</code> · магазин 17\n"
        "Причина: нет товара\n"
        "Не собирать и не выдавать."
    ),
    ("order.corrected", "ru"): (
        "<b>⚠️ Уточнение по заказу H123</b>\n"
        "№ <code>7Q3M0V9XK2TDW8RC</code> · магазин 17\n"
        "Событие маркетплейса пришло с опозданием, прежние сообщения по этому заказу неточны.\n"
        "Состояние: создан\n"
        "<b>Убрано:</b>\n"
        "• sku-2 × <b>1</b>\n"
        "<b>Сейчас в заказе (2):</b>\n"
        "• Молоко &lt;3,2 %&gt; &amp; сливки × <b>2</b>\n"
        "• sku-2 × <b>1</b>"
    ),
}


@pytest.mark.parametrize(("kind", "language"), list(SAMPLES))
def test_each_notice_reads_as_agreed(kind: str, language: str) -> None:
    difference = {"order.changed": DIFFERENCE, "order.corrected": Difference(removed=(BREAD,))}.get(kind)
    reason = "нет товара" if kind == "order.cancelled" else None
    assert text_of_notice(kind, language=language, difference=difference, reason=reason) == SAMPLES[kind, language]


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in SAMPLES}))
def test_the_number_stands_in_each_notice_exactly_once(kind: str) -> None:
    assert text_of_notice(kind, difference=DIFFERENCE).count(ORDER.number) == 1


def test_both_languages_have_the_same_words() -> None:
    russian, english = languages()["ru"], languages()["en"]
    assert set(russian) == set(english)


def test_a_document_survives_the_log() -> None:
    document = render_order(OrderFact(kind="order.created", order=ORDER, notify=True), Words("ru"))
    assert Document.from_json(document.to_json()) == document


def test_line_breaks_of_a_comment_do_not_break_the_notice() -> None:
    order = Order(number="N", external_id="1", version=1, status="created", source="s", comment="one\ntwo\u202e\tthree")
    document = render_order(OrderFact(kind="order.created", order=order, notify=True), Words("en"))
    assert "Comment: one two three" in [text_of(line) for line in document.flatten()]


@pytest.mark.parametrize(
    ("value", "ru", "en"),
    [
        ("2", "2", "2"),
        ("0.50", "0,5", "0.5"),
        ("10", "10", "10"),
        ("1E+2", "100", "100"),
        ("NaN", "NaN", "NaN"),
        ("x", "x", "x"),
    ],
)
def test_quantities_are_written_as_people_write_them(value: str, ru: str, en: str) -> None:
    assert (Words("ru").quantity(value), Words("en").quantity(value)) == (ru, en)
