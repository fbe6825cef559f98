"""What screens work out of what services answer: bars, marked bodies, differences, groups, lines of files."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from console.web.audit.exporting import COLUMNS, csv_line, json_line
from console.web.audit.targets import address_of_target
from console.web.endangered.difference import Changed, difference
from console.web.filters import basket
from console.web.links import link_of
from console.web.marked import marked, pretty
from console.web.refund.bar import bar_of
from console.web.workflow.groups import acts_in, filter_of


@pytest.mark.parametrize(
    ("sums", "parts", "too_much"),
    [
        ({"captured": 200, "refunded": 50, "reserved": 100, "left": 100}, (25.0, 25.0), False),
        ({"captured": 200, "refunded": 200, "reserved": 200, "left": 0}, (100.0, 0.0), False),
        ({"captured": 100, "refunded": 150, "reserved": 100, "left": 0}, (100.0, 0.0), True),
        ({"captured": 0, "refunded": 0, "reserved": 0, "left": 0}, (0.0, 0.0), False),
        ({"captured": None, "refunded": 0, "reserved": 0, "left": None}, (0.0, 0.0), False),
        ({"captured": 3, "refunded": 1, "reserved": 3, "left": 0}, (33.33, 66.67), False),
    ],
)
def test_a_bar_shows_what_went_back_and_what_is_on_its_way(
    sums: dict[str, Any], parts: tuple[float, float], too_much: bool
) -> None:
    bar = bar_of({**sums, "currency": "RUB"})
    assert ((bar.refunded_part, bar.on_the_way_part), bar.too_much) == (parts, too_much)
    assert bar.refunded_part + bar.on_the_way_part <= 100


def faults(*places: str) -> list[dict[str, str]]:
    """Faults at places of a body."""
    return [{"field": place, "code": "unfit", "message": "cannot be read"} for place in places]


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("payload.positions.1.quantity", '        "quantity": "many"'),
        ("payload.positions.1.price", "      {"),
        ("payload.customer.phone", '  "payload": {'),
        ("", "{"),
        ("nowhere.at.all", "{"),
    ],
)
def test_what_cannot_be_read_is_marked_in_its_place(place: str, line: str) -> None:
    body = json.dumps({"event_type": "x", "payload": {"positions": [{"id": "a"}, {"id": "b", "quantity": "many"}]}})
    lines = marked(body, faults(place))
    assert [each.text for each in lines if each.fault] == [line]
    assert json.loads("".join(each.text for each in lines)) == json.loads(body)


def test_a_body_that_is_no_json_is_shown_as_it_came_and_marked_where_json_ends() -> None:
    lines = marked('{"a": 1,\n oops}', [])
    assert [(each.text, bool(each.fault)) for each in lines] == [('{"a": 1,', False), (" oops}", True)]
    assert pretty("{oops") == "{oops"
    assert marked("", []) == []
    assert marked("[" * 100_000, [])


def test_a_long_body_is_cut_and_says_so() -> None:
    lines = marked(json.dumps(list(range(5_000))), [])
    assert (len(lines), lines[-1].text) == (2_001, "… +3002")


def test_a_mended_body_differs_in_the_places_that_were_changed() -> None:
    sent = {"comment": None, "positions": [{"id": "a", "quantity": "many"}, {"id": "b", "quantity": 1}], "old": 1}
    mended = {"comment": None, "positions": [{"id": "b", "quantity": 1}, {"id": "a", "quantity": 2}], "new": True}
    assert difference(json.dumps(sent), json.dumps(mended)) == [
        Changed("positions.a.quantity", '"many"', "2"),
        Changed("old", "1", None),
        Changed("new", None, "true"),
    ]
    assert difference("[1, 2]", "[1, 3, 4]") == [Changed("1", "2", "3"), Changed("2", None, "4")]
    assert difference('{"a": 1}', '{"a": true}') == [Changed("a", "1", "true")]
    assert difference("{}", "{}") == []
    assert difference("oops", "{}") is None
    assert difference("{}", None) is None


def test_a_group_of_workflows_is_matched_by_its_reason() -> None:
    group = {"state_name": "crashed", "kind": "order_life", "code": "unreadable_hook", "error": "E at life.py:7"}
    assert filter_of(group) == {"state": "crashed", "kind": "order_life", "code": "unreadable_hook"}
    assert filter_of({**group, "code": None})["error"] == "E at life.py:7"
    assert filter_of({**group, "code": None, "error": None}) == {"state": "crashed", "kind": "order_life"}
    assert (acts_in("crashed"), acts_in("stopped"), acts_in("other")) == (("retry", "stop"), ("resume",), ())


def test_a_line_of_the_export_is_no_formula_and_holds_all_columns() -> None:
    record = {"at": "2026-11-29T10:00:00Z", "reason": '=HYPERLINK("x")', "after": {"a": "ё,\n"}, "id": 5}
    [names, cells] = csv.reader(io.StringIO(csv_line(None) + csv_line(record)))
    assert tuple(names) == COLUMNS
    found = dict(zip(names, cells, strict=True))
    assert (found["reason"], json.loads(found["after"]), found["id"]) == ('\'=HYPERLINK("x")', {"a": "ё,\n"}, "5")
    array = "[" + json_line({"id": 1}, first=True) + json_line({"id": 2}, first=False) + "]"
    assert json.loads(array) == [{"id": 1}, {"id": 2}]


def test_a_target_of_the_audit_leads_to_its_thing() -> None:
    assert address_of_target("order:A/B") == "/o/A%2FB"
    assert address_of_target("delivery:1") == "/d/1"
    assert address_of_target("roster_override:5") == "/duty/5"
    assert [address_of_target(target) for target in ("roster", "order:", "people:5", "/orders/v1/orders/1")] == [
        None
    ] * 4


def test_a_basket_is_written_as_far_as_it_can_be_read() -> None:
    assert basket([{"name": "Мёд", "quantity": "2"}, {"id": "sku", "originalQuantity": 1}, {}, "odd"]) == (
        "Мёд × 2, sku × 1, ? × ?, odd"
    )
    assert basket("[masked]") == ""


@pytest.mark.parametrize(
    ("phone", "link"),
    [
        ("+79161234567", "tel:+79161234567"),
        ("8 (916) 123-45-67", "tel:89161234567"),
        ("+7916***4567", None),
        ("<img src=x>", None),
        ("javascript:1", None),
        (None, None),
        (79161234567, None),
    ],
)
def test_a_phone_that_is_whole_is_called_from_its_page(phone: object, link: str | None) -> None:
    assert link_of("phone", phone, within="order") == link
