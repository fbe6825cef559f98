"""Secrets and customers' data do not get out, whatever key or text they stand in."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.telemetry import MASK, mask_all, mask_contact, mask_name, masking, scrub_text
from common.telemetry.masking import scrub


@pytest.mark.parametrize(
    "key",
    ["token", "Client-token", "Authorization", "phone", "customer_phone", "email", "password", "client_secret", "name",
     "full_address", "address", "customer", "x-api-key", "Cookie", "webhook-signature", "payload", "comment"],
)  # fmt: skip
def test_a_value_under_a_sensitive_key_is_masked_whatever_it_is(key: str) -> None:
    assert scrub({key: "plain words", "other": "plain words"}) == {key: MASK, "other": "plain words"}
    assert scrub({key: {"nested": 1}}) == {key: MASK}
    assert scrub({key: 79161234567}) == {key: MASK}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("call +7 (916) 123-45-67 now", f"call {MASK} now"),
        ("call 8 916 123 45 67", f"call {MASK}"),
        ("call 89161234567", f"call {MASK}"),
        ("звонить ٨٩١٦١٢٣٤٥٦٧ или ＋７ ９１６ １２３-４５-６７", f"звонить {MASK} или {MASK}"),
        ("call 9161234567", f"call {MASK}"),
        ("тел.89161234567", f"тел.{MASK}"),
        ("тел89161234567", f"тел{MASK}"),
        ("call +44 20 7946 0958", f"call {MASK}"),
        ("call 8–916–123–45–67", f"call {MASK}"),
        ("call 8.916.123.45.67 or +7.916.123.45.67", f"call {MASK} or {MASK}"),
        ("call 8 (916) 123 - 45 - 67, 8 916 12 34 567", f"call {MASK}, {MASK}"),
        ("from ivan.petrov+shop@mail.example.ru to us", f"from {MASK} to us"),
        ("Authorization: Bearer abc.DEF-123", f"Authorization: Bearer {MASK}"),
        ("Basic dXNlcjpwYXNz", f"Basic {MASK}"),
        ("postgresql://suite:hunter2@db:5432/orders is away", f"postgresql://{MASK}@db:5432/orders is away"),
        ("POST /bot123456:AAF-abcdefghijk/sendMessage", f"POST /bot{MASK}/sendMessage"),
        ("xoxb-123456-abcdef", MASK),
        ("duplicate key\nDETAIL:  Key (phone)=(abc) already exists.", f"duplicate key\nDETAIL:  {MASK}"),
        ("[type=int_type, input_value='Ivan', input_type=str]", f"[type=int_type, input_value={MASK}, input_type=str]"),
    ],
)
def test_a_text_loses_what_looks_like_a_secret_or_a_person(text: str, shown: str) -> None:
    assert scrub_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "7Q3M0V9XK2TDW8RC",
        "c56a0af5bf63819020eab862e12ca80a",
        "0190a1b2-1234-7123-8123-123456789012",
        "2026-11-21T10:00:00.123456+03:00",
        "took 1795 ms at 1763697600",
        "a share of 0.9161234567",
        "order 7 2026-11-21 10:00:00",
        "sums of 950 1000 200",
        "http://127.0.0.1:8081/livez",
        "",
    ],
)
def test_ids_times_and_addresses_of_machines_stay_readable(text: str) -> None:
    assert scrub_text(text) == text


def test_nesting_lists_and_bytes_are_scrubbed_and_ids_stay() -> None:
    assert scrub(
        {
            "items": [{"email": "a@b.ru"}, ("x", "+79161234567")],
            "raw": b"12345",
            "deep": {"order_number": "8916123456789012"},
        }
    ) == {"items": [{"email": MASK}, ["x", MASK]], "raw": "<5 bytes>", "deep": {"order_number": "8916123456789012"}}


def test_bottomless_structures_end_in_a_mask() -> None:
    loop: dict[str, object] = {}
    loop["again"] = loop
    text = str(scrub(loop))
    assert MASK in text
    assert len(text) < 200


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="+79 1()-@a.b:/=basicerwhs_otxpBINPUTDEAL\n", max_size=60))
def test_the_quick_look_never_lets_through_what_the_patterns_would_mask(text: str) -> None:
    quick = scrub_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masking, "_SUSPECT", re.compile(""))
        assert quick == scrub_text(text)


@pytest.mark.parametrize(
    ("contact", "masked"), [("+79990001122", "***22"), ("ivan@example.ru", "***ru"), ("1234", "***")]
)
def test_a_contact_keeps_its_last_two_characters_if_it_is_long_enough(contact: str, masked: str) -> None:
    assert mask_contact(contact) == masked


def test_a_name_keeps_its_first_letter_and_content_its_shape() -> None:
    assert mask_name("  Анна Петрова") == "А***"
    assert mask_all({"city": "Омск", "floors": [3, None, True]}) == {"city": "***", "floors": ["***", None, True]}


def test_a_text_without_blanks_holds_up_nothing() -> None:
    assert scrub_text("111 " + "a1b2c3d4" * 100_000) == "111 " + "a1b2c3d4" * 100_000
    assert scrub_text("a.b@c.ru,x@y@z.ru:k@l.m+n@o.p") == f"{MASK},x@{MASK}:{MASK}"
