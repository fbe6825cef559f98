"""What was seen of one order, and the verdict on each step of its life. Pure."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HOOKS = ("order.created", "order.changed", "order.paid", "order.received", "order.delivered", "order.cancelled")
NOTICES = {"created": "Новый заказ", "changed": "Заказ изменён", "cancelled": "тмен"}
"""The words by which the chats' notices are told apart; the notifier writes them in Russian by default."""
AUDIENCES = 2
"""Pickers and store, a chat each."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The marketplace's report, and what each system shows of the order: log entries as the sandbox keeps them, and the console's page."""

    report: Mapping[str, Any]
    hooks: Sequence[Mapping[str, Any]]
    order: Mapping[str, Any]
    timeline: Sequence[Mapping[str, Any]]
    telegram: Sequence[Mapping[str, Any]]
    slack: Sequence[Mapping[str, Any]]
    trust: Sequence[Mapping[str, Any]]
    page: str

    def chats(self) -> dict[str, str]:
        """Return everything that each Telegram chat was sent, in order, as people read it."""
        said: dict[str, str] = {}
        for entry in self.telegram:
            if entry["status"] == 200 and entry["operation"] == "sendMessage":
                chat = str(entry["request"]["chat_id"])
                said[chat] = said.get(chat, "") + html.unescape(str(entry["request"]["text"])) + "\n"
        return said


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that has to be seen, whether it was, and what was seen instead."""

    name: str
    seen: bool
    detail: str


def judge(evidence: Evidence) -> list[Step]:
    """Return the steps of the order's life in order, each with its verdict."""
    return [
        *_answers(evidence),
        _end_state(evidence),
        _timeline(evidence),
        _page(evidence),
        *_notices(evidence),
        _refund(evidence),
    ]


def _answers(evidence: Evidence) -> list[Step]:
    number = evidence.report["number"]
    steps = []
    for hook in HOOKS:
        answers = [answer for answer in evidence.report["answers"] if answer["event"] == hook]
        body = {"status": "created" if hook == HOOKS[0] else "ok", "number": number}
        seen = bool(answers) and answers[-1]["status"] == 200 and answers[-1]["body"] == body
        detail = f"{answers[-1]['status']} {_short(answers[-1]['body'])}" if answers else "not sent"
        steps.append(Step(f"{hook} is answered 200 with the order's number", seen, detail))
    return steps


def _end_state(evidence: Evidence) -> Step:
    expected = evidence.report["expected"] or {}
    wanted = {
        "status": expected.get("status"),
        "closed_for_changes": expected.get("closed_for_changes"),
        "shipped": expected.get("shipped"),
        "total": expected.get("total_minor"),
    }
    found = {
        "status": evidence.order.get("status"),
        "closed_for_changes": evidence.order.get("closed_for_changes"),
        "shipped": evidence.order.get("shipped"),
        "total": evidence.order.get("totals", {}).get("total_price"),
    }
    detail = _short(found) if found == wanted else f"{_short(found)} instead of {_short(wanted)}"
    return Step("the orchestrator shows the right end state", found == wanted, detail)


def _timeline(evidence: Evidence) -> Step:
    done = {item["details"].get("hook") for item in evidence.timeline if item["service"] == "orchestrator"}
    missing = [hook for hook in HOOKS if hook not in done]
    detail = f"{len(evidence.timeline)} entries" + (f", without {', '.join(missing)}" if missing else "")
    return Step("the timeline shows all six hooks", not missing, detail)


def _page(evidence: Evidence) -> Step:
    number = evidence.report["number"]
    title = re.search(r"<h1[^>]*>(.*?)</h1>", evidence.page, re.DOTALL)
    shown = " ".join(re.sub(r"<[^>]*>", " ", title[1]).split()) if title else "no page"
    return Step("the console shows the order to who signs in", number in shown, shown)


def _notices(evidence: Evidence) -> list[Step]:
    chats = evidence.chats()

    def chats_with(notice: str) -> list[str]:
        return [chat for chat, text in chats.items() if NOTICES[notice] in text]

    different = changed_names(evidence.hooks)
    with_difference = [
        chat for chat in chats_with("changed") if different and all(name in chats[chat] for name in different)
    ]
    return [
        Step(
            "pickers and store hear of the new order",
            len(chats_with("created")) == AUDIENCES,
            f"chats {chats_with('created')}",
        ),
        Step(
            "pickers and store hear what was changed",
            len(with_difference) == AUDIENCES,
            f"chats {with_difference}: {', '.join(different) or 'no difference known'}",
        ),
        Step(
            "nobody hears of a cancellation after shipping",
            not chats_with("cancelled"),
            f"chats {chats_with('cancelled')}",
        ),
    ]


def _refund(evidence: Evidence) -> Step:
    # The order was paid and then cancelled: what was captured goes back, once.
    created = [entry for entry in evidence.trust if entry["operation"] == "create_refund" and entry["status"] == 200]
    amounts = [entry["request"]["amount"] for entry in created if isinstance(entry["request"], dict)]
    wanted = [(evidence.report["expected"] or {}).get("discount_total_minor")]
    return Step("the captured money goes back through Trust, once", amounts == wanted, f"refunds {amounts}")


def changed_names(hooks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the positions that `changed` added, took away or altered the quantity of."""
    positions = {entry["operation"]: entry["request"]["payload"].get("positions", []) for entry in hooks}

    def by_id(hook: str) -> dict[str, tuple[str, str]]:
        return {
            str(each["id"]): (str(each.get("name", each["id"])), str(each["quantity"]))
            for each in positions.get(hook, [])
        }

    before, after = by_id(HOOKS[0]), by_id(HOOKS[1])
    return [
        (after.get(key) or before[key])[0]
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    ]


def _short(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
