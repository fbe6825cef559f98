"""Changes of more than one plan takes: rehearsed whole, asked about once, applied plan by plan."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.console.cli.conftest import Call, Ordersctl, Services

RETRY = "POST /admin/v1/workflows/retry"


def in_plans(total: int, *, refused: int = 0, room: int = 1000) -> Callable[[Call], tuple[int, Any]]:
    """A bulk change of many, a plan of at most so many after the other; the first ones are refused."""
    held: dict[str, list[dict[str, Any]]] = {}
    chain: dict[str, set[int]] = {}  # a plan, and all that is in it and in those before it

    def answer(call: Call) -> tuple[int, Any]:
        plan, after = call.body.get("plan"), call.body.get("after")
        if plan is None:
            seen = set() if after is None else chain[after]
            left = [each for each in range(1, total + 1) if each not in seen]
            chosen = left[: min(room, call.body["limit"])]
            plan = f"{len(held):064x}"
            held[plan] = [
                {"id": each, "version": 1, "outcome": "refused", "code": "illegal_transition"}
                if each <= refused
                else {"id": each, "version": 1, "outcome": "retried"}
                for each in chosen
            ]
            chain[plan] = seen | set(chosen)
        before = len(chain[plan]) - len(held[plan])
        more = len(chain[plan]) < total
        return 200, {"plan": plan, "matched": total - before, "more": more, "items": held[plan]}

    return answer


CRASHED = ("workflow", "retry", "-f", "state=crashed", "-r", "once more")


def test_all_that_match_are_gone_through_plan_by_plan(services: Services, ordersctl: Ordersctl) -> None:
    services.on(RETRY, in_plans(2300, refused=1100))
    ended = ordersctl(*CRASHED, "-y", "-o", "json")
    outcomes = Counter(item["outcome"] for item in ended.json["items"])
    assert (ended.code, outcomes) == (7, {"refused": 1100, "retried": 1200})
    assert "1100 refused, 1200 retried" in ended.remarks
    assert len({item["id"] for item in ended.json["items"]}) == 2300
    dry = [call.body["dry_run"] for call in services.calls]
    assert dry == [True] * 3 + [False] * 3  # one question for the whole, and then exactly that
    assert len({call.key for call in services.calls if call.key}) == 3


def test_a_limit_bounds_all_plans_together(services: Services, ordersctl: Ordersctl) -> None:
    services.on(RETRY, in_plans(2300))
    ended = ordersctl(*CRASHED, "--limit", "1500", "-y", "-o", "json")
    assert (ended.code, len(ended.json["items"])) == (7, 1500)
    assert "800 more match and are left" in ended.remarks
    assert [call.body["limit"] for call in services.calls] == [1000, 500, 1000, 500]
    services.on(RETRY, in_plans(5))
    assert ordersctl(*CRASHED, "--limit", "5", "-y").code == 0


def test_many_plans_are_kept_and_applied_once(services: Services, ordersctl: Ordersctl, tmp_path: Path) -> None:
    services.on(RETRY, in_plans(2300))
    plans = tmp_path / "plans.json"
    plans.write_text(ordersctl(*CRASHED, "--dry-run", "-o", "json").out)
    assert all(call.body["dry_run"] for call in services.calls)
    done = ordersctl("apply", str(plans), "-y", "-o", "json")
    assert (done.code, len(done.json["items"])) == (0, 2300)
    ordersctl("apply", str(plans), "-y")
    assert len({call.key for call in services.calls if call.key}) == 3
    assert "2300 items in 3 plans" in ordersctl(*CRASHED, "--dry-run").remarks


def test_ctrl_c_ends_between_plans_and_says_how_to_go_on(services: Services, ordersctl: Ordersctl) -> None:
    answer = in_plans(2300)

    def interrupted(call: Call) -> tuple[int, Any]:
        if call.key is not None:
            os.kill(os.getpid(), signal.SIGINT)
        return answer(call)

    services.on(RETRY, interrupted)
    ended = ordersctl(*CRASHED, "-y", "-o", "json")
    assert (ended.code, len(ended.json["items"])) == (130, 1000)
    assert "plans applied: 1 of 3: 1000 retried" in ended.remarks
    services.on(RETRY, answer)
    [_, file] = ended.remarks.split("ordersctl apply ", 1)
    finished = ordersctl("apply", file.split()[0], "-y", "-o", "json")
    assert (finished.code, len(finished.json["items"])) == (0, 1300)
    assert len({call.key for call in services.calls if call.key}) == 3


def test_when_a_later_answer_is_lost_the_rest_is_kept_and_finishes_once(
    services: Services, ordersctl: Ordersctl
) -> None:
    answer, left = in_plans(2300), [1]

    def lost(call: Call) -> tuple[int, Any]:
        services.drop = RETRY if call.key is not None and not left else None
        if call.key is not None and left:
            left.pop()
        return answer(call)

    services.on(RETRY, lost)
    ended = ordersctl(*CRASHED, "-y")
    assert (ended.code, "plans applied: 1 of 3" in ended.remarks, "not known" in ended.remarks) == (6, True, True)
    services.drop = None
    services.on(RETRY, answer)
    [_, file] = ended.remarks.split("ordersctl apply ", 1)
    assert ordersctl("apply", file.split()[0], "-y").code == 0
    assert len({call.key for call in services.calls if call.key}) == 3
