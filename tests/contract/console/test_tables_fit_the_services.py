"""The tables that the console and ordersctl are made of name only what the services offer."""

from __future__ import annotations

import importlib
import types
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any, ForwardRef, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from console.cli.meanings import WORDS
from console.cli.tab import TABLE
from console.client.acts import ACTS, Act
from console.client.effects import RECIPE, RECIPES
from console.client.models import notifier
from console.client.operations import operation, operations
from console.client.things import EVERYWHERE, THINGS, Thing
from console.web.filters import STATES
from notifier.incidents.model import RecipeName
from notifier.incidents.offers import OFFERS
from orchestrator.engine.model import EventState, WorkflowState
from refunds.refunds.states import RefundState
from tests.contract.console.tab import table
from tests.contract.surface.observed import stored

NAMES_OF_PLACES = ("{id}", "{number}", "{key}", "{name}")


def lines(service: str) -> set[str]:
    return {f"{method} {path}" for owner, method, path in operations() if owner == service}


@pytest.mark.parametrize("act", ACTS.values(), ids=lambda act: f"{act.noun} {act.verb}")
def test_every_act_is_an_operation_of_its_service(act: Act) -> None:
    offered = act.operation
    assert offered.role in ("operator", "admin")
    assert offered.takes("reason")
    assert offered.takes("dry_run")
    if act.by_plan is not None:
        assert offered.takes("ids")
        assert offered.takes("plan")
    elif act.named:
        assert f"{{{act.key}}}" in offered.path


@pytest.mark.parametrize("thing", THINGS.values(), ids=lambda thing: thing.noun)
def test_every_thing_is_listed_and_read_where_its_service_says(thing: Thing) -> None:
    operation(thing.service, f"GET {thing.list}")
    if thing.one is not None:
        assert lines(thing.service) & {f"GET {thing.one.replace('{id}', place)}" for place in NAMES_OF_PLACES}


@pytest.mark.parametrize("thing", THINGS.values(), ids=lambda thing: thing.noun)
def test_every_column_is_a_field_of_the_answer(thing: Thing) -> None:
    item = answer_of(thing.service, thing.list)
    columns = {thing.id, *thing.columns, *thing.wide, *([thing.state] if thing.state else [])}
    assert [column for column in sorted(columns) if not has(item, column.split("."))] == []


@pytest.mark.parametrize(
    ("noun", "states"),
    [
        ("refund", {state.name for state in RefundState}),
        ("workflow", {state.name.lower() for state in WorkflowState}),
        ("countdown", {"running", "expired", "answered"}),
    ],
)
def test_states_that_are_told_apart_are_states_of_the_service(noun: str, states: set[str]) -> None:
    told_apart = THINGS[noun].moving | THINGS[noun].bad
    assert told_apart
    assert told_apart <= states


def test_states_of_refunds_that_the_console_marks_are_states_of_refunds() -> None:
    marked = {state for state in STATES if state.isupper()}
    assert marked
    assert marked <= {state.name for state in RefundState}


def test_what_every_service_has_is_there_where_it_is_said_to_be() -> None:
    for path, columns, _ in EVERYWHERE.values():
        owners = [service for service, method, where in operations() if (method, where) == ("GET", path)]
        assert len(owners) >= 4
        for service in owners:
            item = answer_of(service, path)
            assert [column for column in columns if not has(item, [column])] == []


def test_tab_offers_what_the_commands_take() -> None:
    assert Path(TABLE).read_text(encoding="utf-8") == table(), "python -m tests.contract.console.tab"


@pytest.mark.parametrize(
    ("noun", "states"), [("workflow", WorkflowState), ("event", EventState), ("refund", RefundState)]
)
def test_words_that_tab_offers_are_those_of_the_service(noun: str, states: type[IntEnum]) -> None:
    assert [word.upper() for word in WORDS[noun, "state"]] == [state.name for state in states]


def test_recipes_are_those_of_the_notifier_and_need_the_roles_that_it_says() -> None:
    assert set(RECIPES) == set(get_args(RecipeName)) == set(OFFERS)
    lines: dict[RecipeName, tuple[str, str]] = {
        "retry_workflow": ("orchestrator", "workflows"),
        "restart_refund": ("refunds", "refunds"),
    }
    for name, (service, things) in lines.items():
        offered = operation(service, f"POST /admin/v1/{things}/{{id}}/{name.partition('_')[0]}")
        assert offered.role == OFFERS[name].role
        assert offered.takes("dry_run")
    onward = {state for noun in RECIPES.values() for state in THINGS[noun].moving | THINGS[noun].bad}
    states = set(get_args(get_type_hints(notifier.RecipeRun)["state"])) | onward | set(RECIPE.anew.values())
    assert set(RECIPE.moving | RECIPE.bad) <= states
    assert set(RECIPE.anew) <= onward


def answer_of(service: str, path: str) -> Any:
    """The type of an item of a list."""
    package = service.replace("-", "_")
    described = stored(package)["openapi"]["paths"][path]["get"]["responses"]["200"]
    schema = described["content"]["application/json"]["schema"]
    models = importlib.import_module(f"console.client.models.{package}")
    if "$ref" not in schema:
        return getattr(models, schema["items"]["$ref"].rsplit("/", 1)[1])
    page = getattr(models, schema["$ref"].rsplit("/", 1)[1].replace("_", ""))
    return get_args(get_type_hints(page)["items"])[0]


def has(shape: Any, path: list[str]) -> bool:
    """Whether a typed dictionary has a field, at whatever depth; free objects have any."""
    if not path:
        return True
    for kind in _kinds(shape):
        if not is_typeddict(kind):
            return get_origin(kind) is dict
        if (held := get_type_hints(kind).get(path[0])) is not None:
            return has(held, path[1:])
    return False


def _kinds(shape: Any) -> Iterator[Any]:
    assert not isinstance(shape, ForwardRef)
    parts = get_args(shape) if get_origin(shape) in (Union, types.UnionType) else (shape,)
    yield from (part for part in parts if part is not type(None))
