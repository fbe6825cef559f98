"""`docs/samples/`: what people read of each hook, beside the order, in both languages and every channel.

The files are made by this test, so that whoever changes a wording sees it in the review: with `WRITE_SAMPLES=1` it writes them, any other
run compares.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from notifier.messages.channels import CHANNELS
from notifier.messages.document import Document
from notifier.messages.layout import mail, slack, telegram
from notifier.messages.order_notices import Difference, Goods, Order, OrderFact, render_order
from notifier.messages.words import Language, Words
from tests.support.slack_texts import as_read

MILK = Goods(id="sku-101", name="Молоко 3,2 %, 1 л", quantity="2", price=8900)
BREAD = Goods(id="sku-205", name="Хлеб «Бородинский»", quantity="1", price=5450)
APPLES = Goods(id="sku-340", name="Яблоки «Гала»", quantity="1.2", price=13990)
CHEESE = Goods(id="sku-512", name="Сыр <Российский> & Co", quantity="0.35", price=79900)
JUICE = Goods(id="sku-620", name="Сок яблочный, 1 л", quantity="3", price=11900)
CREATED = Order(
    number="7Q3M0V9XK2TDW8RC",
    external_id="H1234567",
    version=1,
    status="created",
    source="sbermarket",
    store_id="17",
    comment="Позвоните за час, домофон не работает",
    shipment_method="by_courier",
    replacement_policy="callOrReplace",
    goods=(MILK, BREAD, APPLES, CHEESE),
    total=68075,
    discounted_total=65575,
    customer="А***, ***67",
    address="Мо***, ул. Тв***, д. ***, кв. ***",
    delivery_window="29.11.2026 18:00–20:00 (UTC+03:00)",
)
MORE_MILK = replace(MILK, quantity="3")
CHANGED = replace(
    CREATED,
    version=2,
    comment="Не звонить, оставить у двери",
    replacement_policy="callOrCancel",
    goods=(MORE_MILK, APPLES, CHEESE, JUICE),
    total=107225,
    discounted_total=104725,
    address="Мо***, ул. Ар***, д. ***",
    delivery_window="29.11.2026 20:00–22:00 (UTC+03:00)",
)
PAID = replace(
    CHANGED,
    version=3,
    status="paid",
    goods=(MORE_MILK, replace(APPLES, quantity="1.18", price=13990), CHEESE, replace(JUICE, price=10900)),
    total=104000,
    discounted_total=101500,
)
HOOKS: dict[str, tuple[str, Order | None, OrderFact]] = {
    "order.created": (
        "pickers and store learn of a new order",
        None,
        OrderFact(kind="order.created", order=CREATED, notify=True),
    ),
    "order.changed": (
        "pickers and store learn what changed",
        CREATED,
        OrderFact(
            kind="order.changed",
            order=CHANGED,
            notify=True,
            difference=Difference(
                added=(JUICE,),
                removed=(BREAD,),
                changed=((MILK, MORE_MILK),),
                fields=(
                    ("comment", CREATED.comment, CHANGED.comment),
                    ("address", CREATED.address, CHANGED.address),
                    ("delivery_window", CREATED.delivery_window, CHANGED.delivery_window),
                    ("replacement_policy", CREATED.replacement_policy, CHANGED.replacement_policy),
                ),
            ),
        ),
    ),
    "order.paid": (
        "prices are final, the order is closed for changes; told only where the orchestrator says so",
        CHANGED,
        OrderFact(
            kind="order.paid",
            order=PAID,
            notify=True,
            difference=Difference(
                changed=((APPLES, replace(APPLES, quantity="1.18")), (JUICE, replace(JUICE, price=10900)))
            ),
        ),
    ),
    "order.received": (
        "the courier has it, the stock is written off; told only where the orchestrator says so",
        PAID,
        OrderFact(kind="order.received", order=replace(PAID, version=4, status="received"), notify=True),
    ),
    "order.delivered": (
        "the customer has it; told only where the orchestrator says so",
        PAID,
        OrderFact(kind="order.delivered", order=replace(PAID, version=5, status="delivered"), notify=True),
    ),
    "order.cancelled": (
        "pickers and store learn that it is cancelled, if it was not shipped yet",
        CHANGED,
        OrderFact(
            kind="order.cancelled",
            order=replace(CHANGED, version=3, status="cancelled"),
            notify=True,
            reason="Клиент передумал",
        ),
    ),
}
_WIDTH = 52
SAMPLES = Path(__file__).parents[4] / "docs" / "samples"


def order_as_known(order: Order | None, title: str) -> list[str]:
    """The order in plain lines, as an operator would see it."""
    if order is None:
        return [title, "  (none)"]
    lines = [title, f"  {order.external_id}, version {order.version}, {order.status}", f"  store {order.store_id}"]
    lines += [f"  {goods.id} {goods.label[:24]} × {goods.quantity} à {goods.price}" for goods in order.goods]
    lines += [f"  comment: {(order.comment or '')[:38]}", f"  replacement: {order.replacement_policy}"]
    lines += [f"  to: {(order.address or '')[:44]}", f"  when: {order.delivery_window}"]
    return [*lines, f"  total {order.total}, discounted {order.discounted_total}"]


def beside(left: Sequence[str], right: Sequence[str]) -> list[str]:
    """Two columns."""
    height = max(len(left), len(right))
    rows = zip([*left, *[""] * (height - len(left))], [*right, *[""] * (height - len(right))], strict=True)
    return [f"{a[:_WIDTH]:<{_WIDTH}} │ {b}".rstrip() for a, b in rows]


def document_of(fact: OrderFact, language: Language) -> Document:
    """What is said."""
    return render_order(fact, Words(language))


def sample(kind: str) -> str:
    """The whole file of a hook."""
    what, before, fact = HOOKS[kind]
    known = [*order_as_known(before, "BEFORE"), *order_as_known(fact.order, "AFTER")]
    lines = [f"{kind}: {what}", "=" * 110, ""]
    for language in ("ru", "en"):
        document = document_of(fact, language)
        [page] = CHANNELS["telegram"].layout.pages(document)
        _, bare = telegram.compose([(page, None)])
        lines += [*beside(known, [f"TELEGRAM, {language}, as it is read", *bare.splitlines()]), ""]
    document = document_of(fact, "ru")
    html, _ = telegram.compose([(CHANNELS["telegram"].layout.pages(document)[0], None)])
    blocks, fallback = slack.compose([(page, None) for page in CHANNELS["slack"].layout.pages(document)])
    subject, body = mail.compose([(page, None) for page in CHANNELS["mail"].layout.pages(document)])
    lines += ["TELEGRAM, as it is sent (HTML)", *html.splitlines(), ""]
    lines += [f"SLACK, its rich text; notification: {fallback}"]
    lines += [line for block in blocks for line in as_read(block).splitlines()]
    lines += ["", f"MAIL, subject: {subject}", *body.splitlines()]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("kind", list(HOOKS))
def test_the_sample_of_each_hook_is_what_people_read_now(kind: str) -> None:
    file = SAMPLES / f"{kind}.txt"
    now = sample(kind)
    if os.environ.get("WRITE_SAMPLES"):
        file.write_text(now, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == now


def test_there_is_a_sample_of_every_hook_and_of_nothing_else() -> None:
    assert {path.stem for path in SAMPLES.glob("*.txt")} == set(HOOKS)


@pytest.mark.parametrize("kind", list(HOOKS))
def test_a_notice_says_nothing_that_is_not_in_the_order(kind: str) -> None:
    _, _, fact = HOOKS[kind]
    for language in ("ru", "en"):
        _, text = telegram.compose([(CHANNELS["telegram"].layout.pages(document_of(fact, language))[0], None)])
        assert text.count(fact.order.number) == 1
        if kind in {"order.created", "order.changed"}:
            shown = fact.order.goods if fact.difference is None else (*fact.difference.added, *fact.difference.removed)
            assert all(goods.label in text for goods in shown)
