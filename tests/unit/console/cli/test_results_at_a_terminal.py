"""What every act answers, as a person at a terminal reads it: what it made by its id, and what follows from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from console.cli.output import Output
from console.cli.showing import show_items, show_made
from console.client.acts import ACTS, Act
from console.client.answers import of_one
from console.client.change import Done, Plan, Wish
from console.client.items import Item, item_of
from console.client.made import MADE, made_by, names_in, not_made_yet
from console.client.things import value

SURFACE = Path(__file__).parents[3] / "fixtures" / "surface"
SUMS = ("amount", "amount_is", "tips", "price", "total")
UNSAID = {"version", "replaces", "number", "business_key", "payment_id", "currency", "dry_run", "already_applied"}
"""What an answer says again, and what only machines need."""
WHOLE = {"workflow", "original", "event", "appended", "refund", "defect", "positions", "replaced", "difference"}
"""What has a test of its own, or is said by its name."""


@cache
def document(service: str) -> Mapping[str, Any]:
    """The service's OpenAPI document."""
    kept = json.loads((SURFACE / f"{service.replace('-', '_')}.json").read_text(encoding="utf-8"))
    found: Mapping[str, Any] = kept["openapi"]
    return found


def answer(act: Act) -> dict[str, Any]:
    """An answer of this act's form, in which each value is another."""
    operation = act.operation
    responses = document(operation.service)["paths"][operation.path][operation.method.lower()]["responses"]
    said = next(found["content"] for status, found in responses.items() if status.startswith("2"))
    count = iter(range(101, 10_000))
    made: dict[str, Any] = example(said["application/json"]["schema"], operation.service, count, "")
    return made


def example(schema: Mapping[str, Any], service: str, count: Iterator[int], name: str) -> Any:
    """A value that fits a schema."""
    if "$ref" in schema:
        return example(
            document(service)["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], service, count, name
        )
    if "anyOf" in schema:
        return example(next(each for each in schema["anyOf"] if each.get("type") != "null"), service, count, name)
    if schema.get("type") == "object":
        return {key: example(each, service, count, key) for key, each in schema.get("properties", {}).items()}
    if "prefixItems" in schema:
        return [example(each, service, count, name) for each in schema["prefixItems"]]
    if schema.get("type") == "array":
        return [example(schema.get("items", {}), service, count, name)]
    if schema.get("type") in ("integer", "number"):
        return next(count)
    if schema.get("type") == "boolean":
        return True
    return {"currency": "RUB", "code": None}.get(name, f"{name}-{next(count)}")


def done(act: Act) -> Done:
    """What was done, as the client reads it of that answer."""
    said = answer(act)
    items = (
        tuple(item_of(each) for each in said["items"])
        if act.by_plan is not None
        else (
            Item(id="the-thing" if act.named else "", outcome=str(said.get("outcome") or act.verb), shown=of_one(said)),
        )
    )
    wish = Wish(act=act.name, service=act.service, reason="why")
    plan = Plan(wish=wish, items=items, matched=len(items), key="00000000-0000-0000-0000-000000000000")
    return Done(plan=plan, items=items)


@pytest.mark.parametrize("act", ACTS.values(), ids=lambda act: act.name)
def test_a_result_at_a_terminal_says_what_was_made_and_what_follows(
    act: Act, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "400")
    result, out = done(act), Output(color=False)
    show_items(out, act.name, result.items)
    show_made(out, result)
    told = capsys.readouterr()
    said = told.out + told.err
    [item] = result.items
    for path in names_in(act.name):
        name = item.detail if path == "detail" else value(item.shown, path)
        assert str(name) in told.out, f"{path} {name} is not in\n{said}"
    for each in made_by(act.name, item):
        assert f"ordersctl {'refund list --order=' if each.of else ''}" in told.err
        assert each.name in told.err
    again = {"id"} if item.id and "id" not in names_in(act.name) else set()
    missing = [f"{path}={held}" for path, held in leaves(item.shown) if str(held) not in said and path not in again]
    assert missing == [], said


def leaves(shown: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of an answer but those of whole things within it, by dotted path."""
    for name, held in shown.items():
        if isinstance(held, Mapping):
            if name not in WHOLE:
                yield from leaves(held, f"{before}{name}.")
        elif isinstance(held, list):
            yield from (
                part for each in held if isinstance(each, Mapping) and name not in WHOLE for part in leaves(each)
            )
        elif name not in UNSAID and not isinstance(held, bool) and name not in SUMS:
            yield before + name, held


def test_a_silence_says_its_id_and_what_it_would_have_muted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    muted = {"id": 41, "ends_at": "soon", "would_have_muted": {"hours": 24, "messages": 3, "incidents": 2}}
    items = (Item(id="", outcome="add", notices=(), shown=muted),)
    show_items(Output(color=False), "silence add", items)
    said = capsys.readouterr().out
    assert "41" in said.split("\n")[2].split()
    assert "in the last 24 h it would have muted: messages 3, incidents 2" in said
    assert "tells nobody anything" in said
    show_items(Output(color=False, language="ru"), "silence add", items)
    assert "за последние 24 ч заглушило бы: сообщений 3, проблем 2" in capsys.readouterr().out


def test_a_plan_has_no_name_that_only_the_change_gives() -> None:
    for act in ACTS.values():
        [item] = done(act).items
        planned = not_made_yet(act.name, item)
        late = [named.at for named in MADE.get(act.name, ()) if not named.early]
        assert [value(planned.shown, path) for path in late] == [None] * len(late), act.name
    weeks = {"id": 5, "items": [{"id": 5, "person": "anna"}, {"id": 6, "person": "oleg"}], "replaced": []}
    swapped = not_made_yet("duty override", Item(id="", outcome="override", shown=weeks))
    assert swapped.shown["items"] == [{"person": "anna"}, {"person": "oleg"}]
    unknown = Item(id="A1", outcome="unknown", code="timed_out", shown={})
    assert made_by("order refund", unknown) == ()
