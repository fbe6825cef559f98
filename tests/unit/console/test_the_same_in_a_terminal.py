"""What the console shows and does is written as an ordersctl command that there really is."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import typer
from yarl import URL

from console.cli.app import application
from console.client.acts import ACTS, act_of
from console.client.change import Wish
from console.client.commands import of_list, of_one, of_wish
from console.client.things import EVERYWHERE, THINGS
from console.web.commands import command_of
from console.web.lists.filtering import filters, list_operation
from console.web.screens import LISTS


@pytest.fixture(scope="module")
def program() -> Any:
    """Ordersctl, whole."""
    return typer.main.get_command(application())


def understood(program: Any, command: str) -> dict[str, Any]:
    """What ordersctl reads out of a command, which is not run. Fails for an option or a command that there is not."""
    name, *words = shlex.split(command)
    assert name == "ordersctl"
    context = program.make_context(name, words, resilient_parsing=False)
    while hasattr(context.command, "resolve_command"):
        _, inner, words = context.command.resolve_command(context, [*context._protected_args, *context.args])
        context = inner.make_context(inner.name, list(words), parent=context)
    return dict(context.params)


def test_every_list_and_every_thing_has_its_command(program: Any) -> None:
    for noun, thing in THINGS.items():
        fitting = {
            field.name: (field.choices or ("true" if field.type == "boolean" else "x",))[0] for field in filters(thing)
        }
        read = understood(program, of_list(noun, fitting))
        asked = {name.removeprefix("field_"): held for name, held in read.items() if name.startswith("field_")}
        said = {name: {"true": True}.get(text, text) for name, text in fitting.items()}
        assert {name: asked[name] for name in said if name in asked} == {
            name: said[name] for name in said if name in asked
        }
        assert not list_operation(thing).query or set(said) <= set(asked), noun
        if (shown := of_one(noun, "it's 5")) is not None:
            assert "it's 5" in map(str, understood(program, shown).values()), noun
    for noun in EVERYWHERE:
        assert (
            understood(program, of_list(noun, {"target": "x"} if noun == "audit" else {}, service="refunds"))["service"]
            == "refunds"
        )


def test_every_change_has_its_command(program: Any) -> None:
    acts = [*ACTS.values(), *(act_of(f"dead-letter {verb}", "refunds") for verb in ("replay", "mend", "dismiss"))]
    for act in acts:
        values: dict[str, Any] = {"string": "-x y", "integer": 5, "boolean": True, "object": {"a": [1]}, "array": ["a"]}
        fields = {field.name: values.get(field.type, "x") for field in act.asked if field.name != "numbers"}
        fields |= {field.name: field.choices[0] for field in act.asked if field.choices}
        ids = ("7", "-8") if act.named else ()
        wish = Wish(act=act.name, service=act.service, reason="it's time", ids=ids, fields=fields)
        read = understood(program, of_wish(wish, currency="RUB"))
        if "reason" not in read:
            assert act.name == "check refunds", "it asks for nothing"
            continue
        assert read["reason"] == "it's time", act.name
        assert list(read.get("names") or ()) == list(ids), act.name
        assert {name for name, held in read.items() if name.startswith("field_") and held is not None} == {
            f"field_{name}" for name in fields if f"field_{name}" in read
        }, act.name


def test_sums_are_written_as_people_do_and_filters_as_they_were_seen(program: Any) -> None:
    wish = Wish(act="order refund", service="orchestrator", reason="broken", ids=("N-1",), fields={"amount": 8550})
    assert of_wish(wish, currency="RUB") == "ordersctl order refund --amount=85.50 --reason=broken N-1"
    retry = Wish(
        act="workflow retry",
        service="orchestrator",
        reason="the cause is mended",
        filter={"state": "crashed"},
        limit=200,
    )
    assert (
        of_wish(retry) == "ordersctl workflow retry --filter state=crashed --limit 200 '--reason=the cause is mended'"
    )
    assert understood(program, of_wish(retry))["filter"] == ["state=crashed"]


@pytest.mark.parametrize(
    ("address", "command"),
    [
        ("/o/N%2F1", "ordersctl order show N/1"),
        ("/i/5", "ordersctl incident show 5"),
        ("/incidents?severity=critical&phone=1&nothing=2", "ordersctl incident list --severity=critical"),
        ("/list/dead-letter?service=refunds&open=true", "ordersctl dead-letter list --service=refunds --open"),
        ("/one/flag/tips", "ordersctl flag get tips"),
        ("/one/dead-letter/9?service=refunds", "ordersctl dead-letter show --service=refunds 9"),
        ("/duty", "ordersctl duty weeks"),
        ("/audit", "ordersctl audit"),
        (
            "/audit?actor=anna&action=&from=2026-11-29T10:00&to=2026-11-30T10:00Z&service=refunds&before=x&skip=3",
            "ordersctl audit --service=refunds --actor=anna --from=2026-11-29T10:00:00+00:00 --to=2026-11-30T10:00Z",
        ),
        ("/", "ordersctl status"),
        ("/tips", "ordersctl tips shadow"),
        ("/tips?order=-N", "ordersctl tips explain -- -N"),
        ("/find", None),
        ("/change/workflow/retry?ids=5", None),
        ("/runbook/notifier-down", None),
        ("/list/nothing", None),
    ],
)
def test_addresses_of_the_console_have_their_commands(program: Any, address: str, command: str | None) -> None:
    found = command_of(URL(address))
    assert found == command
    if found is not None:
        understood(program, found)


def test_each_list_of_the_menu_has_its_command(program: Any) -> None:
    for path in LISTS.values():
        found = command_of(URL(path))
        assert found is not None
        understood(program, found)
