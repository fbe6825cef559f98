"""A dry run answers what the act answers, or what becomes of it: each refusal by its code."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.refunds.factories import RefundsClient, Start, in_error_after_declines
from tests.support.servers import eventually

LINE: dict[str, Any] = {"id": "sku-1", "quantity": "1", "of_quantity": "3", "paid": 300}
ENDS = frozenset({"REJECTED", "SUCCESS", "CANCELLED"})


async def ends(service: RefundsClient, wanted: dict[str, Any]) -> str:
    """How a request for a refund ends: with the code that refuses it, at once or later, or in its state."""
    status, said = await service.request(**wanted)
    if status != 202:
        return str(said["code"])

    async def over() -> dict[str, Any]:
        refund = await service.refund(said["id"])
        assert refund["state_name"] in ENDS
        return refund

    refund = await eventually(over, what="the refund ends")
    return str(refund["error"] if refund["state_name"] == "REJECTED" else refund["state_name"])


@pytest.mark.parametrize(
    ("captured", "wanted", "code"),
    [
        (0, {"amount": None, "lines": [LINE]}, "nothing_captured"),
        (0, {"amount": 5}, "nothing_captured"),
        (0, {"amount": None}, None),
        (99, {"amount": None, "lines": [LINE]}, "exceeds_captured"),
        (100, {"amount": None, "lines": [LINE]}, None),
        (100, {"amount": 101}, "exceeds_captured"),
        (100, {"amount": 100, "currency": "KZT"}, "currency_mismatch"),
        (100, {"amount": 99, "lines": [LINE]}, "lines_do_not_add_up"),
        (300, {"amount": None, "lines": [LINE, LINE]}, "line_conflict"),
        (100, {"amount": 1, "payment_id": None}, "no_payment"),
    ],
)
async def test_a_refund_ends_as_its_rehearsal_said(
    start: Start, captured: int, wanted: dict[str, Any], code: str | None
) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=captured)
    status, said = await service.request(**wanted, dry_run=True)
    assert (status, said.get("code")) == (202 if code is None else 409 if code != "lines_do_not_add_up" else 422, code)
    assert await ends(service, wanted) in ({"SUCCESS", "CANCELLED"} if code is None else {code})


async def test_a_repeat_is_rehearsed_as_it_is_answered_whatever_became_of_the_first(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=0)
    lines = {"amount": None, "lines": [LINE]}
    assert await ends(service, lines) == "nothing_captured"
    for wanted, code in ((lines, None), ({"amount": 7}, "business_key_reused")):
        rehearsed, done = [await service.request(**wanted, dry_run=dry_run) for dry_run in (True, False)]
        assert (rehearsed[0], rehearsed[1].get("code")) == (done[0], done[1].get("code"))
        assert done[1].get("code") == code


async def test_a_restart_is_rehearsed_by_what_is_captured_now(start: Start) -> None:
    service = await start(declines=1)
    refund = await in_error_after_declines(service)
    await service.sandbox.heal("trust")
    _, other = await service.request(amount=9_000, business_key="other")
    await service.reaches(other["id"], "SUCCESS")
    path = f"/admin/v1/refunds/{refund['id']}/restart"
    body = {"reason": "for a test", "expected_version": refund["version"]}
    for captured, answers in ((10_000, (409, "exceeds_captured")), (20_000, (200, "restarted"))):
        await service.sandbox.put_payment("pay-1", captured=captured)

        async def old() -> bool:
            (row,) = await service.fetch("SELECT now() - captured_at > interval '1.1 s' AS old FROM payments")
            return bool(row["old"])

        await eventually(old, what="what was captured was read some time ago")
        for dry_run in (True, False):
            status, said = await service.call("POST", path, role="operator", json=body | {"dry_run": dry_run})
            assert (status, said.get("code") or said["outcome"]) == answers, dry_run
    await service.reaches(refund["id"], "SUCCESS")
