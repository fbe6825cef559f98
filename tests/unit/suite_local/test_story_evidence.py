"""When the demo may say that every step was seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from suite_local.evidence import HOOKS, Evidence, changed_names, judge

NUMBER = "QR2W2RMF9HZEHXGW"
MILK = {"id": "sku-1", "name": "Молоко", "quantity": 2}
BREAD = {"id": "sku-2", "name": "Хлеб", "quantity": 1}


def hook(name: str, *positions: dict[str, Any]) -> dict[str, Any]:
    return {"operation": name, "request": {"payload": {"positions": list(positions)} if positions else {}}}


def message(chat: int, text: str, *, status: int = 200) -> dict[str, Any]:
    return {"operation": "sendMessage", "status": status, "request": {"chat_id": chat, "text": text}}


def everything() -> Evidence:
    """What a whole life looks like when all went well."""
    answers = [
        {"event": name, "status": 200, "body": {"status": "created" if name == HOOKS[0] else "ok", "number": NUMBER}}
        for name in HOOKS
    ]
    expected = {
        "status": "cancelled",
        "closed_for_changes": True,
        "shipped": True,
        "total_minor": 20000,
        "discount_total_minor": 18000,
    }
    return Evidence(
        report={"number": NUMBER, "answers": answers, "expected": expected},
        hooks=[hook("order.created", MILK), hook("order.changed", MILK, BREAD)],
        order={"status": "cancelled", "closed_for_changes": True, "shipped": True, "totals": {"total_price": 20000}},
        timeline=[{"service": "orchestrator", "details": {"hook": name}} for name in HOOKS],
        telegram=[
            message(chat, text)
            for text in ("Новый заказ: Молоко", "Заказ изменён. Добавлено: Хлеб")
            for chat in (-1, -2)
        ],
        slack=[],
        trust=[{"operation": "create_refund", "status": 200, "request": {"amount": 18000}}],
        page=f"<h1>Order <span>{NUMBER}</span></h1>",
    )


def unseen(evidence: Evidence) -> list[str]:
    return [step.name for step in judge(evidence) if not step.seen]


def test_a_whole_life_is_seen_in_every_step() -> None:
    assert unseen(everything()) == []
    assert len(judge(everything())) == 13


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({"order": {}}, "the orchestrator shows the right end state"),
        ({"timeline": everything().timeline[:-1]}, "the timeline shows all six hooks"),
        ({"telegram": everything().telegram[1:]}, "pickers and store hear of the new order"),
        (
            {"telegram": [*everything().telegram[:2], message(-1, "Заказ изменён"), message(-2, "Заказ изменён")]},
            "pickers and store hear what was changed",
        ),
        (
            {"telegram": [*everything().telegram, message(-1, "Заказ отменён")]},
            "nobody hears of a cancellation after shipping",
        ),
        ({"page": "<h1>No answer</h1>"}, "the console shows the order to who signs in"),
        ({"trust": []}, "the captured money goes back through Trust, once"),
        ({"trust": [*everything().trust, *everything().trust]}, "the captured money goes back through Trust, once"),
    ],
)
def test_a_step_that_was_not_seen_is_named(changes: dict[str, Any], step: str) -> None:
    assert unseen(replace(everything(), **changes)) == [step]


@pytest.mark.parametrize(
    "answer",
    [
        {"event": "order.paid", "status": 503, "body": None},
        {"event": "order.paid", "status": 200, "body": {"status": "ok", "number": "ANOTHER"}},
        {"event": "order.paid", "status": 200, "body": {"status": "ignored"}},
    ],
)
def test_an_answer_that_is_no_yes_with_the_same_number_is_named(answer: dict[str, Any]) -> None:
    evidence = everything()
    answers = [answer if each["event"] == answer["event"] else each for each in evidence.report["answers"]]

    assert unseen(replace(evidence, report={**evidence.report, "answers": answers})) == [
        "order.paid is answered 200 with the order's number"
    ]


def test_a_message_that_the_chat_refused_was_not_said() -> None:
    evidence = everything()
    refused = [message(-1, "Новый заказ", status=429), *evidence.telegram[1:]]

    assert unseen(replace(evidence, telegram=refused)) == ["pickers and store hear of the new order"]


def test_the_difference_is_what_was_added_taken_away_or_counted_anew() -> None:
    cheese = {"id": "sku-3", "name": "Сыр", "quantity": 1}
    before = hook("order.created", MILK, BREAD)
    after = hook("order.changed", {**MILK, "quantity": 3}, cheese)

    assert changed_names([before, after]) == ["Молоко", "Хлеб", "Сыр"]
    assert changed_names([before]) == ["Молоко", "Хлеб"]
    assert changed_names([before, hook("order.changed", BREAD, MILK)]) == []
