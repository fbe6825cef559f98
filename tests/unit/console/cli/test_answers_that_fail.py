"""A change whose answer is a failure may have happened: it is not called refused, and the same plan finishes it once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.console.cli.conftest import Call, Ordersctl, Services

KINDS: dict[str, tuple[tuple[str, ...], str, dict[str, Any]]] = {
    "many by a plan": (
        ("workflow", "retry", "1"),
        "POST /admin/v1/workflows/retry",
        {"plan": "a" * 64, "matched": 1, "more": False, "items": [{"id": 1, "version": 1, "outcome": "retried"}]},
    ),
    "one at its version": (
        ("order", "refund", "A1", "--amount", "10.50"),
        "POST /admin/v1/orders/A1/refund",
        {"number": "A1", "amount": 1050, "currency": "RUB", "outcome": "asked"},
    ),
    "one as it is": (("silence", "end", "2"), "DELETE /admin/v1/silences/2", {"outcome": "ended"}),
    "nothing that has a name": (
        ("message", "test", "--destination", "pickers"),
        "POST /admin/v1/test-message",
        {"notice_id": "n", "outcome": "asked"},
    ),
}
"""Of each kind of change a command, what it asks, and the answer."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("status", "code"), [(500, 6), (502, 6), (503, 6), (504, 4)])
def test_after_a_failed_answer_the_plan_is_kept_and_does_it_once(
    services: Services, ordersctl: Ordersctl, kind: str, status: int, code: int
) -> None:
    command, line, said = KINDS[kind]
    made: list[str] = []

    def answer(call: Call) -> tuple[int, Any]:
        if call.key is None:
            assert call.body["dry_run"]
            return 200, said
        if call.key in made:
            return 200, said
        made.append(call.key)  # it is done, and what is answered is that the connection broke as it was committed
        problem = {"code": "unavailable", "detail": "the database is away", "request_id": "r-1"}
        return status, problem if status in (500, 503) else "<html>a proxy's own page</html>"

    services.on("GET /orders/v1/orders/A1", {"version": 3, "totals": {"currency": "RUB"}})
    services.on(line, answer)
    failed = ordersctl(*command, "-r", "for a test", "-y", "-o", "json")
    assert (failed.code, failed.out, len(made)) == (code, "", 1)
    assert "How much was done of the plan under way is not known." in failed.remarks
    assert ("(unavailable, request r-1)" in failed.remarks) == (status in (500, 503))
    [_, file] = failed.remarks.split("ordersctl apply ", 1)
    finished = ordersctl("apply", file.split()[0], "-y", "-o", "json")
    outcome = said["items"][0]["outcome"] if "items" in said else said["outcome"]
    assert (finished.code, [item["outcome"] for item in finished.json["items"]]) == (0, [outcome])
    assert len(made) == 1


def test_a_rehearsal_that_fails_has_done_nothing_and_keeps_no_plan(services: Services, ordersctl: Ordersctl) -> None:
    services.on("DELETE /admin/v1/silences/2", {"code": "unavailable", "detail": "the database is away"}, 503)
    ended = ordersctl("silence", "end", "2", "-r", "for a test", "-y")
    assert (ended.code, "ordersctl apply" in ended.remarks) == (6, False)
