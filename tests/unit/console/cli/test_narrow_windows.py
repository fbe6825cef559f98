"""No window breaks a word: a table whose words have no room becomes cards."""

from __future__ import annotations

from typing import Any

import pytest

from console.cli.output import Columns, Form, Output
from console.cli.showing import show_items
from console.cli.things import columns_of
from console.client.items import Item
from console.client.things import EVERYWHERE, THINGS, Thing, thing_of

LISTS = [*THINGS.values(), *(thing_of(noun, "orchestrator") for noun in EVERYWHERE)]
WIDEST = {
    "id": "01a22b0a-468f-7d21-a1aa-000000000001",
    "payment_id": "pay-2d9f3c1e-5f2b-7d21-a1aa-0001",
    "business_key": "T5AVEQM5BJ000000:refund:positions",
    "number": "T5AVEQM5BJ000000",
    "order_number": "T5AVEQM5BJ000000",
    "external_id": "sbermarket-H12345678901",
    "phone": "+79990001122",
    "kind": "order.creation_parked",
    "action": "endangered_order.resubmit",
    "queue": "notifier.orders.dead",
    "state": "acknowledged",
    "state_name": "superseded",
    "match": {"alert": ["OrdersDoNotArriveForTenMinutes"], "service": ["webhook-gateway"]},
}
MOMENTS = ("at", "since", "until", "starts", "ends")
WORDS = "the marketplace has not answered within thirty seconds, and was asked again"


def widest(thing: Thing) -> dict[str, Any]:
    """An item of a list in which nothing is short."""
    item: dict[str, Any] = {"currency": "RUB"}
    columns = columns_of(thing)
    for column in (*columns.shown, *columns.wide):
        *outer, name = column.split(".")
        inside = item
        for part in outer:
            inside = inside.setdefault(part, {})
        inside[name] = "2026-11-29T10:00:00Z" if name.split("_")[-1] in MOMENTS else WIDEST.get(name, WORDS)
    return item


def words_of(text: str) -> list[str]:
    return text.replace("─", " ").split()


@pytest.mark.parametrize("form", [Form.TABLE, Form.WIDE])
@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("thing", LISTS, ids=lambda thing: thing.noun)
def test_no_list_breaks_a_word_in_a_window(
    thing: Thing, width: int, form: Form, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    item = widest(thing)
    monkeypatch.setenv("COLUMNS", "10000")
    Output(form=form, color=False).rows([item, item], columns_of(thing))
    roomy = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", str(width))
    Output(form=form, color=False).rows([item, item], columns_of(thing))
    narrow = capsys.readouterr().out
    whole = words_of(roomy)
    assert [word for word in words_of(narrow) if word not in whole] == []
    assert {word for word in whole if word not in words_of(narrow)} == set()
    longest = max(map(len, words_of(narrow)))
    assert [line for line in narrow.splitlines() if len(line.rstrip()) > max(width, longest + 2)] == []
    Output(form=form, color=False).thing(item)
    one = capsys.readouterr().out
    assert [line for line in one.splitlines() if len(line.rstrip()) > max(width, longest + 2)] == []


def test_a_window_with_room_has_a_table_and_a_narrow_one_cards(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    items = [{"id": 1, "acknowledged_by": "anna", "summary": "one two three four"}]
    for width, table in ((42, True), (36, True), (24, False)):
        monkeypatch.setenv("COLUMNS", str(width))
        Output(color=False).rows(items, Columns(("id", "acknowledged_by", "summary")))
        said = capsys.readouterr().out
        assert ("─" in said, "acknowledged_by" in said) == (table, True), said
    assert said == "id  1\nacknowledged_by  anna\nsummary\n  one two three four\n\n"


@pytest.mark.parametrize("width", [60, 100])
def test_a_plan_says_beneath_the_table_who_is_told(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    told = (
        "tickets.ticket.closed.v1 or nothing of TRAVELSUP-1: who follows the ticket",
        "mail of T5: store@example.org",
    )
    item = Item(id="7", outcome="retried", notices=told, warnings=("it was retried twice before",))
    show_items(Output(color=False), "workflow retry", (item, Item(id="8", outcome="retried", notices=())))
    said = " ".join(capsys.readouterr().out.split())
    assert "7: warning: it was retried twice before" in said
    assert "7: may tell who follows the ticket: tickets ticket closed · TRAVELSUP-1" in said
    assert "8: tells nobody anything" in said
    assert "or nothing" not in said
