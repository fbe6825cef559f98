"""How orders are found by whom they are for, and what of a customer may be shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.http.customers import masked as hidden
from common.reading import Address, Contact, Line, Window
from common.reading.people import read_people
from common.telemetry import mask_contact, mask_names
from orchestrator.documents.mask import masked_document
from orchestrator.documents.model import render, without_customer
from orchestrator.erasures.blank import blank_attributes, blank_state
from orchestrator.orders.contacts import by_name, by_phone, by_words, contacts_of, keys_of, words_of
from orchestrator.orders.fold import fold
from orchestrator.orders.masks import mask_address, masked
from orchestrator.orders.model import Difference, HookType, Incident, IncidentKind, OrderFact, evolve
from orchestrator.orders.views import CancellationView
from tests.unit.orchestrator.factories import STATE, of_anna

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
LETTERS = st.text(alphabet="абвгдеёжзиклмнопрст", min_size=1, max_size=12)


@given(st.lists(LETTERS, min_size=1, max_size=4), st.data())
def test_any_part_of_a_name_of_three_letters_finds_it(words: list[str], data: st.DataObject) -> None:
    keys = keys_of("N1", Contact(name=" ".join(words)))
    word = data.draw(st.sampled_from(words))
    start = data.draw(st.integers(0, max(0, len(word) - 3)))
    part = word[start : start + data.draw(st.integers(3, 12))]
    condition = by_name(part)
    if condition is None or len(part) < 3:
        return
    assert condition.indexed is not None
    assert set(condition.indexed[1][0]) <= set(keys.grams.split("|"))
    assert all(value in (keys.name or "") for value in condition.values)


def test_every_spelling_of_a_phone_looks_for_the_same() -> None:
    spellings = (
        "٨ (٩١٦) ١٢٣-٤٥-٦٧",
        "＋７ ９１６ １２３ ４５ ６７",
        "+7 (916) 123-45-67",
        "8 916 123 45 67",
        "79161234567",
        "9161234567",
        "007 916 1234567",
    )
    assert len({by_phone(each).values for each in spellings}) == 1


def test_a_phone_in_digits_of_another_script_is_kept_found_and_masked_as_any() -> None:
    for said, kept in (
        ("＋７ ９１６ １２３-４５-６７", "79161234567"),
        ("٨٩١٦١٢٣٤٥٦٧", "79161234567"),
        ("доб. ٤٥٦٧", "4567"),
    ):
        contact, _, _ = read_people({"customer": {"phone": said}})
        assert contact is not None
        assert (keys_of("N1", contact).phone, by_phone("٤٥٦٧").values) == (kept, by_phone("4567").values)
        assert mask_contact(contact.phone or "") == "***67"
        assert keys_of("N1", Contact(phone=said)).phone == kept  # as a release before kept it
    words = by_words("٤٥٦٧")
    assert words is not None
    assert words.values == by_phone("4567").values


def test_an_order_is_kept_under_every_phone_and_mail_that_was_said_of_it() -> None:
    said: dict[str, Any] = {
        "customer": Contact(name="Анна", phone="+79161234567, +79160000001"),
        "comment": f"или 8 (916) 000-00-02, anna@example.ru, https://x.ru?{'a1B2c3d4' * 400}@x.ru",  # longer than an index holds
        "address": Address(text="Тверская 1", parts=(("comment", "сосед 89160000003"),)),
    }
    created = OrderFact(
        hook=HookType.CREATED,
        event_id="1",
        arrival=1,
        source="sm",
        external_id="H1",
        received_at=START,
        sent_at=START,
        lines=(Line(id="a", quantity=Decimal(1)),),
        digest="d",
        **said,
    )
    keys = contacts_of("N1", fold("N1", [created]))
    assert {each.phone for each in keys} == {None, "79161234567", *(f"7916000000{last}" for last in "123")}
    assert {each.email for each in keys} == {None, "anna@example.ru"}
    plain = replace(created, customer=Contact(phone="+79161234567"), comment=None, address=None)
    assert len(contacts_of("N1", fold("N1", [plain]))) == 1


def test_words_are_a_mail_a_phone_or_a_name_and_nothing_else() -> None:
    shapes = {
        words: (found := by_words(words)) and found.text.split()[0]
        for words in ("a@b", "8 916", "анна", "12", "!", "я")
    }
    assert shapes == {
        "a@b": "email",
        "8 916": "reverse(phone)",
        "анна": "strpos(name,",
        "12": None,
        "!": None,
        "я": None,
    }


def test_a_name_is_compared_without_case_accents_and_signs() -> None:
    assert words_of("СЕМЁНОВ-Тян\u00a0Й.") == words_of("семенов тян и\u0306")


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("Иван Петров", "Позовите ивана, ПЕТРОВА Ивана", "Позовите и***, П*** И***"),
        ("Мария", "Передайте Марии. Маме скажите", "Передайте М***. Маме скажите"),
        ("Пётр", "Для Петра или Пётра", "Для П*** или П***"),
        ("Лев", "Леву Николаевичу; левый подъезд", "Л*** Николаевичу; левый подъезд"),
        ("Анна-Лена O'Neil", "anna? Анне, Лене, O'Neil", "anna? А***, Л***, O'N***"),
        ("Анна Вознесенская", "Вознесенской А.", "В*** А."),
        ("Юрий Вознесенский", "Отдать Вознесенскому, Юрию", "Отдать В***, Ю***"),
        ("Павел Толстой", "Передать Павлу Толстому", "Передать П*** Т***"),
        ("Олег Кравец", "Кравцу; в кровать", "К***; в кровать"),
        ("Ян", "Ян встретит", "Ян встретит"),
        ("(.*)+", "в (.*)+ подъезд", "в (.*)+ подъезд"),
        (None, "Позовите Ивана", "Позовите Ивана"),
    ],
)
def test_a_customers_name_is_masked_in_what_people_wrote(name: str | None, text: str, shown: str) -> None:
    assert mask_names(text, [name, None]) == shown


NAMES = st.lists(st.text(alphabet="АаЕеёЁйяBbs_-' 1", min_size=1, max_size=9), max_size=3)


@given(NAMES, st.text(alphabet="ab«А", max_size=6), st.data())
def test_names_are_masked_alike_in_plain_letters_and_in_any(names: list[str], around: str, data: st.DataObject) -> None:
    """Words of a plain text are compared, any other text is searched with an expression: what is shown is the same."""
    words = data.draw(
        st.lists(st.sampled_from([*names, around]) | st.text(alphabet="АаеЁйBs1 ", max_size=9), max_size=5)
    )
    text = around.join([*words, *names])
    assert mask_names(f"{text} 雪", names) == f"{mask_names(text, names) or ''} 雪"


@given(st.text(alphabet="Аабв, .0129-/", max_size=80))
def test_no_digit_of_an_address_is_shown(text: str) -> None:
    assert not any(character.isdigit() for character in mask_address(text))


def test_fields_that_are_nobodys_stay() -> None:
    assert (masked("store_id", "17"), masked("delivery_window", "18:00"), masked("address", None)) == (
        "17",
        "18:00",
        None,
    )


def test_why_an_order_was_cancelled_is_hidden_as_an_erasure_takes_it() -> None:
    shown = hidden(CancellationView(slug="other", description="Анна не открыла"))
    assert (shown.slug, "Анна" in str(shown.description)) == ("other", False)


def test_a_document_says_whose_it_is_and_can_do_without() -> None:
    order = of_anna()
    document = render(order)
    assert (
        "\nCustomer Анна Смирнова\nPhone +79161234567\nMail a@example.org\nAddress Москва, Тверская, д. 1\n" in document
    )
    assert "\nCustomer А***\nPhone ***67\nMail ***rg\nAddress Мо***, Тв***, д. ***\n" in masked_document(document)
    assert without_customer(document) == render(STATE)
    assert masked_document(render(STATE)) == render(STATE)


def test_an_erasure_takes_the_customer_out_of_every_text_of_an_order() -> None:
    said = "звонить Анне, 8 916 123 45 67"
    texts = {"replacement_policy": said, "shipment_method": said, "delivery_window": Window(text=said)}
    order = evolve(STATE, customer=Contact(name="Анна"), **texts)
    left = blank_state(order)
    assert (left.replacement_policy, left.shipment_method) == ("звонить А***, [masked]",) * 2
    assert left.delivery_window == Window(text="звонить А***, [masked]")
    assert blank_state(left) == left


def test_an_erasure_takes_every_name_of_a_customer_out_of_an_orders_incidents() -> None:
    fields = (("store_id", "89161234567", "2"), ("replacement_policy", "спросить Веру", "8 916 123 45 67"))
    incident = Incident(IncidentKind.EMPTIED, "e1", HookType.CHANGED, STATE.created_at, Difference(fields=fields))
    left = blank_state(evolve(STATE, customer=Contact(name="Анна"), incidents=(incident,)), [" вера"])
    assert left.incidents[0].difference.fields == (fields[0], ("replacement_policy", "спросить В***", "[masked]"))


def test_an_erasure_leaves_ids_and_our_people_in_what_is_said_about_an_event() -> None:
    said = {"external_id": "EDA 89161234567", "payment_id": "p 1", "requested_by": "Анна Ким", "operator": "Анна Ким"}
    erased = blank_attributes({**said, "why": "Анна просила"}, ["анна"])
    assert erased == {**said, "why": "А*** просила"}
