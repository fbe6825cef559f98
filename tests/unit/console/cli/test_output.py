"""Results in every form, and nothing in them that steers a terminal."""

from __future__ import annotations

import json

import pytest
import yaml

from console.cli.output import Columns, Form, Output, as_json, as_yaml, printable

EVIL = "\x1b]0;owned\x07\x1b[2J\u202eabc\u009b31m\r\n\u200b\ud800x"
ITEMS = [
    {"number": "A1", "cost": 8500, "currency": "RUB", "at": "2026-11-29T10:00:00.5Z", "customer": {"name": "Анна"}},
    {"number": "B2", "cost": 5, "currency": "JPY", "at": None, "customer": {"name": EVIL}},
]
COLUMNS = Columns(("number", "cost", "at"), ("customer.name",), "number")


def steers(text: str) -> bool:
    return any(ord(sign) < 32 and sign not in "\n\t" for sign in text) or any(
        sign in text for sign in "\x7f\u009b\u202e\u200b\ud800"
    )


@pytest.mark.parametrize("form", [None, *Form])
def test_no_form_of_a_list_lets_its_texts_steer_the_terminal(
    form: Form | None, capsys: pytest.CaptureFixture[str]
) -> None:
    Output(form=form, columns=("number", "customer.name")).rows(ITEMS, COLUMNS)
    said = capsys.readouterr().out
    assert not steers(said)
    assert "B2" in said


@pytest.mark.parametrize("form", [None, *Form])
def test_no_form_of_one_thing_lets_its_texts_steer_the_terminal(
    form: Form | None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Output(form=form)
    out.thing({"id": EVIL, "text": [EVIL], EVIL: {"deep": EVIL}})
    out.note(EVIL)
    out.line({"text": EVIL}, EVIL)
    said = capsys.readouterr()
    assert not steers(said.out + said.err)


@pytest.mark.parametrize("width", ["200", "40", "20"])
def test_a_window_of_any_width_leaves_ids_and_numbers_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", width)
    ids = [f"01a22b0a-468f-7d21-a1aa-00000000000{place}" for place in range(3)]
    items = [
        {"id": each, "order_number": "T5AVEQM5BJ000000", "amount": 8500, "error": "gateway silent"} for each in ids
    ]
    out = Output(color=False)
    out.rows(items, Columns(("id", "order_number", "amount", "error")))
    out.thing({"payment_id": ids[0], "reason": "words " * 20})
    said = capsys.readouterr().out
    assert [said.count(each) for each in ids] == [2, 1, 1]
    assert said.count("T5AVEQM5BJ000000") == 3
    assert ("─" in said) == (width == "200")


def test_a_table_on_a_terminal_has_sums_times_and_escaped_texts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    Output(form=Form.WIDE, color=False).rows(ITEMS, COLUMNS)
    said = capsys.readouterr().out
    assert "85.00 RUB" in said
    assert "5 JPY" in said
    assert "Анна" in said
    assert "\\x1b]0;owned" in said
    assert not steers(said)


def test_sums_of_the_parts_of_a_thing_have_its_currency(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    out = Output(color=False)
    out.thing(
        {"totals": {"currency": "RUB", "sum_to_pay": 9900}, "positions": [{"id": "m", "price": 8500, "quantity": "2"}]}
    )
    out.thing({"currency": "JPY", "reserved": 5, "left": 7, "total_discount_price": 3, "refunds": 2})
    said = capsys.readouterr().out
    for written in ("99.00 RUB", "price=85.00 RUB", "quantity=2", "5 JPY", "7 JPY", "3 JPY"):
        assert written in said
    assert "2 JPY" not in said


def test_json_and_yaml_read_back_as_what_was_shown() -> None:
    shown = [{"text": EVIL.replace("\ud800", ""), "числа": [1, None, True]}]
    assert json.loads(as_json(shown)) == json.loads(as_json(shown, indent=2)) == shown
    assert yaml.safe_load(as_yaml(shown)) == shown


def test_into_a_pipe_columns_go_by_tabs_as_the_services_write_them(capsys: pytest.CaptureFixture[str]) -> None:
    Output().rows(ITEMS[:1], COLUMNS)
    Output(form=Form.NAME).rows(ITEMS, COLUMNS)
    assert capsys.readouterr().out == "number\tcost\tat\nA1\t8500\t2026-11-29T10:00:00.5Z\nA1\nB2\n"


def test_a_text_keeps_its_lines_only_where_lines_may_stay() -> None:
    assert printable("a\nb\tc") == "a\\nb\\tc"
    assert printable("a\nb\x1b", lines=True) == "a\nb\\x1b"
