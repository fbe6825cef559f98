"""The caller's own rules of tips and those of the tips service are equal: on the vectors, and on every input."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.settings import OrchestratorSettings
from orchestrator.tips import model as caller
from orchestrator.tips import own_rules as old
from tips.rules import order as theirs
from tips.rules.constants import TipsRules
from tips.rules.hold import need_hold
from tips.rules.target import target_tips
from tips.rules.write import Write, plan_write
from tips.settings import TipsSettings

VECTORS = json.loads((Path(__file__).parent / "tips_rules.json").read_text())
EXAMPLES = int(os.environ.get("SUITE_CONFORMANCE_EXAMPLES", "300"))
SHARED = (
    "cashless_methods", "maximum", "default_maximum", "maximum_share", "negative_rating", "hold_after", "hold_until", "places",
)  # fmt: skip
END = datetime(2026, 11, 21, 10, tzinfo=UTC)


def decide(case: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Have both decide one case; return what the service and what the caller's own rules say: sum, write, hold."""
    return by_service(case), by_caller(case)


def by_service(case: dict[str, Any]) -> dict[str, Any]:
    order, rules, said, now = case["order"], case["rules"], case["feedback"], END + timedelta(seconds=case["now"])
    constants = TipsRules(**constants_of(rules))
    feedback = None
    if said is not None:
        chosen = said["tips"]
        feedback = theirs.Feedback(
            rating=said["rating"],
            tips=None if chosen is None else theirs.ChosenTips(theirs.TipsType(chosen[0]), Decimal(chosen[1])),
            choice=None if said["choice"] is None else theirs.Choice(said["choice"]),
            done=said["done"],
            updated_at=END + timedelta(seconds=said["updated_at"]),
        )
    applied = order["applied"]
    method = order["payment_method"]
    mine = theirs.Order(
        number="N", version=1, finished=order["finished"], finished_at=END if order["finished"] else None,
        cashless=method is not None and method.lower() in constants.cashless_methods, refunded=order["refunded"],
        zeroed=order["zeroed"], currency=order["currency"], cost=order["cost"], tips=order["tips"], held_sum=order["held_sum"],
        applied=theirs.Applied(
            feedback_at=None if applied["at"] is None else END + timedelta(seconds=applied["at"]),
            type=None if applied["type"] is None else theirs.TipsType(applied["type"]),
            choice=None if applied["choice"] is None else theirs.Choice(applied["choice"]),
            done=applied["done"],
        ),
        seen=order["seen"], zone="z", tariff="t",
    )  # fmt: skip
    target = target_tips(mine, feedback, constants)
    plan = plan_write(mine, feedback, target.amount, forbidden=target.forbidden)
    wrote = plan.applied
    written = None
    if plan.write is Write.SET:
        moment = None if wrote.feedback_at is None else wrote.feedback_at.isoformat()
        written = [plan.amount, wrote.type, wrote.choice, moment, wrote.done]
    return {"sum": target.amount, "write": written, "hold": need_hold(mine, feedback, constants, now=now).needed}


def by_caller(case: dict[str, Any]) -> dict[str, Any]:
    order, said, now = case["order"], case["feedback"], END + timedelta(seconds=case["now"])
    constants = old.OldTipsRules(**constants_of(case["rules"]))
    feedback = None
    if said is not None:
        kind, value = said["tips"] or (None, None)
        feedback = caller.Feedback(
            rating=said["rating"],
            tips_type=kind,
            tips_value=None if value is None else Decimal(value),
            choice=said["choice"],
            done=said["done"],
            updated_at=END + timedelta(seconds=said["updated_at"]),
        )
    applied = order["applied"]
    mine = caller.TipsOrder(
        number="N", version=1, finished=order["finished"], finished_at=END if order["finished"] else None, cancelled=False,
        payment_method=order["payment_method"], zone="z", tariff="t", refunded=order["refunded"], zeroed=order["zeroed"],
        currency=order["currency"], cost=order["cost"], given_back=0, tips=order["tips"], held_sum=order["held_sum"],
        feedback_at=None if applied["at"] is None else END + timedelta(seconds=applied["at"]), tips_type=applied["type"],
        choice=applied["choice"], done=applied["done"], seen=order["seen"],
    )  # fmt: skip
    wrote = old.write_of(mine, feedback, constants)
    written = None
    if wrote is not None:
        moment = None if wrote.feedback_at is None else wrote.feedback_at.isoformat()
        written = [wrote.amount, wrote.tips_type, wrote.choice, moment, wrote.done]
    return {
        "sum": old.tips_sum(mine, feedback, constants),
        "write": written,
        "hold": old.need_hold(mine, feedback, constants, now=now),
    }


def constants_of(rules: dict[str, Any]) -> dict[str, Any]:
    """Read the constants of a case."""
    return {
        "cashless_methods": frozenset({"card", "sbp"}),
        "maximum": rules["maximum"],
        "default_maximum": rules["default_maximum"],
        "maximum_share": Decimal(rules["maximum_share"]),
        "negative_rating": rules["negative_rating"],
        "hold_after": timedelta(seconds=rules["hold_after"]),
        "hold_until": timedelta(seconds=rules["hold_until"]),
    }


choices = st.sampled_from([None, "suggested", "custom", "default"])
moments = st.integers(-3, 3)
sums = st.one_of(st.integers(0, 30), st.integers(0, 10**12))
values = st.one_of(
    st.decimals(0, 200, places=2, allow_nan=False), st.decimals(0, 10**9, places=12, allow_nan=False)
).map(lambda value: f"{value:f}")
orders = st.fixed_dictionaries(
    {
        "finished": st.booleans(), "payment_method": st.sampled_from([None, "card", "CARD", "sbp", "cash", ""]),
        "refunded": st.booleans(), "zeroed": st.booleans(), "currency": st.sampled_from(["RUB", "JPY", "KWD"]),
        "cost": st.one_of(st.integers(-5, 500), st.integers(0, 10**13)), "tips": sums, "held_sum": st.none() | sums,
        "applied": st.fixed_dictionaries(
            {"at": st.none() | moments, "type": st.sampled_from([None, "percent", "flat"]), "choice": choices, "done": st.booleans()}
        ),
        "seen": st.booleans(),
    }
)  # fmt: skip
feedbacks = st.none() | st.fixed_dictionaries(
    {
        "rating": st.none() | st.integers(0, 6), "choice": choices, "done": st.booleans(), "updated_at": moments,
        "tips": st.none() | st.tuples(st.sampled_from(["percent", "flat"]), values),
    }
)  # fmt: skip
rule_sets = st.fixed_dictionaries(
    {
        "maximum": st.dictionaries(st.sampled_from(["RUB", "JPY"]), st.integers(0, 10**6)),
        "default_maximum": st.none() | st.integers(0, 10**6), "negative_rating": st.integers(0, 5),
        "maximum_share": st.sampled_from(["100", "33.3", "0", "12.5"]), "hold_after": st.integers(0, 2),
        "hold_until": st.integers(3, 5),
    }
)  # fmt: skip
cases = st.fixed_dictionaries({"order": orders, "feedback": feedbacks, "rules": rule_sets, "now": st.integers(-1, 6)})


@given(case=cases)
@settings(max_examples=EXAMPLES, deadline=None)
def test_both_rules_say_the_same_of_every_order(case: dict[str, Any]) -> None:
    service, own = decide(case)
    assert own == service


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["name"]))
def test_both_rules_say_what_the_vector_file_says(vector: dict[str, Any]) -> None:
    assert decide(vector["case"]) == (vector["expected"], vector["expected"])


def test_both_services_have_the_same_constants_by_default() -> None:
    def values_of(cls: Any, prefix: str) -> dict[str, Any]:
        return {name: cls.model_fields[f"{prefix}{name}"].get_default(call_default_factory=True) for name in SHARED}

    assert values_of(OrchestratorSettings, "tips_") == values_of(TipsSettings, "")


def test_what_differs_by_place_is_found_the_same_way(tmp_path: Path) -> None:
    places = [
        {"tariff": "express", "negative_rating": 1, "hold_after": 60},
        {"zone": "moscow", "negative_rating": 2, "default_maximum": None},
        {"zone": "moscow", "tariff": "express", "maximum": {"RUB": 5}},
    ]
    values: dict[str, Any] = {"tokens_file": tmp_path, "feedback_url": "http://127.0.0.1:1"}
    book = TipsSettings(places=places, **values).book
    own = OrchestratorSettings(tips_places=places, **values).tips_rules
    for zone in ("moscow", "spb"):
        for tariff in ("express", "planned"):
            service = book.rules_for(zone, tariff)
            mine = own.of(an_order(zone, tariff))
            assert [getattr(mine, name) for name in SHARED[:-1]] == [getattr(service, name) for name in SHARED[:-1]]


def an_order(zone: str, tariff: str) -> caller.TipsOrder:
    return caller.TipsOrder(
        number="N", version=1, finished=True, finished_at=END, cancelled=False, payment_method="card", zone=zone, tariff=tariff,
        refunded=False, zeroed=False, currency="RUB", cost=1, given_back=0, tips=0, held_sum=None, feedback_at=None,
        tips_type=None, choice=None, done=False, seen=False,
    )  # fmt: skip
