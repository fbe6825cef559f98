"""What is missing for a critical problem to reach a person."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from notifier.coverage.model import holes
from notifier.duty.escalation import Duty, Policy, Step
from notifier.people.model import Directory, Person
from notifier.routing.file import read_routes
from notifier.routing.model import Destination, Route, Routes
from notifier.settings import DEFAULT_ROUTES

OLEG = Person(id="oleg", name="Oleg", role="operator", phone="+79990000001")
CHAT = Destination(name="chat", channel="telegram", address="-1")
SOON = timedelta(minutes=5)
WHOLE: dict[str, Any] = {
    "routes": Routes(destinations={"chat": CHAT}, routes=(Route(name="all", match={}, to=("chat",)),)),
    "environment": "production",
    "channels": {"telegram"},
    "directory": Directory(people={"oleg": OLEG}),
    "duty": Duty(on_duty="oleg"),
    "calls": True,
    "policy": Policy(steps=tuple(Step(after=SOON, act=act, whom="on_duty") for act in ("remind", "call"))),
}
ELSEWHERE = Route(name="testing", match={"environment": ("testing",)}, to=("chat",))
VIEWER = Person(id="vera", name="Vera", role="viewer", phone="+79990000003")


def test_a_whole_chain_has_no_hole() -> None:
    assert holes(**WHOLE) == ()


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"routes": Routes(destinations={"chat": CHAT}, routes=(ELSEWHERE,))}, {"routes"}),
        ({"routes": read_routes(DEFAULT_ROUTES.read_bytes(), name="default")}, {"routes"}),
        ({"channels": {"slack"}}, {"channels"}),
        ({"directory": Directory()}, {"people", "roster"}),
        ({"directory": Directory(people={"vera": VIEWER}), "duty": Duty(on_duty="vera")}, {"people", "roster"}),
        ({"duty": Duty(on_duty=None)}, {"roster"}),
        ({"duty": Duty(on_duty="who")}, {"roster"}),
        ({"directory": Directory(people={"oleg": Person(id="oleg", name="O", role="operator")})}, {"roster"}),
        ({"calls": False}, {"call_provider"}),
        ({"policy": Policy(steps=())}, {"escalation"}),
        ({"policy": Policy(steps=(Step(after=SOON, act="remind", whom="on_duty"),))}, {"escalation"}),
        ({"directory": Directory(people={"oleg": replace(OLEG, invented=True)})}, {"people"}),
    ],
)
def test_each_missing_link_of_the_chain_is_named(change: dict[str, Any], missing: set[str]) -> None:
    assert {hole.what for hole in holes(**{**WHOLE, **change})} == missing


def test_every_kind_that_may_be_critical_must_be_routed() -> None:
    some = Route(
        name="some", match={"kind": ("problem.a*", "workflow.*", "problem.refund.d*", "problem.[!r]*")}, to=("chat",)
    )
    [hole] = holes(**{**WHOLE, "routes": Routes(destinations={"chat": CHAT}, routes=(some,))})
    assert hole.what == "routes"
    assert set(re.findall(r"problem\.[\w.]+", hole.detail)) == {
        *("problem.refund.unanswered", "problem.refund.error", "problem.refund.reversed", "problem.roster"),
    }
