"""In a roll-out a newer release writes states and kinds that this one does not know: shown as they are, and acted on by nobody."""

from __future__ import annotations

import asyncio

from tests.integration.refunds.factories import Start


async def test_a_state_of_a_newer_release_is_shown_by_its_number_and_left_alone(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=10_000)
    _, accepted = await service.request()
    await service.reaches(accepted["id"], "SUCCESS")
    payouts = await service.ledger()
    await service.fetch(
        "ALTER TABLE refunds DROP CONSTRAINT refunds_state_check, DROP CONSTRAINT refunds_settled_check"
    )
    await service.fetch("UPDATE refunds SET state = 77, settled = 'by_the_shop', next_attempt_at = now()")
    await service.fetch(
        "INSERT INTO refund_history (refund_id, version, attempt, state_before, state_after, happened, actor, detail, at) "
        "SELECT refund_id, version + 1, attempt, 5, 77, 'held_back', actor, detail, now() FROM refund_history WHERE state_after = 5"
    )

    [written] = await service.fetch("SELECT ctid::text, lease_owner FROM refunds")
    await asyncio.sleep(1.0)  # due, and taken by no worker: it would be again and again
    assert await service.fetch("SELECT ctid::text, lease_owner FROM refunds") == [written]
    assert written["lease_owner"] is None

    shown = await service.refund(accepted["id"])
    assert (shown["state"], shown["state_name"]) == (77, "77")
    status, listed = await service.call("GET", "/admin/v1/refunds", role="operator")
    assert (status, [one["state_name"] for one in listed["items"]]) == (200, ["77"])
    assert (await service.path(accepted["id"]))[-1] == "77"
    body = {"reason": "what is it", "dry_run": False}
    for act in ("restart", "close", "check"):
        more = {"settled": "outside"} if act == "close" else {}
        path = f"/admin/v1/refunds/{accepted['id']}/{act}"
        status, said = await service.call("POST", path, role="operator", json=body | more)
        assert status < 500, (act, status, said)
    status, said = await service.call("POST", "/admin/v1/reconciliation", role="operator", json=body)
    assert (status, said["failed"]) == (200, [])
    assert (await service.ledger())["refunds"] == payouts["refunds"]
    assert (await service.refund(accepted["id"]))["state"] == 77


async def test_a_difference_of_a_newer_kind_is_listed_read_and_acknowledged(start: Start) -> None:
    service = await start()
    await service.fetch(
        "INSERT INTO refund_differences (kind, gateway, subject, detail, found_at) VALUES ('fee_differs', 'trust', 'x', 'y', now())"
    )
    status, listed = await service.call("GET", "/admin/v1/differences", role="operator")
    assert (status, [one["kind"] for one in listed["items"]]) == (200, ["fee_differs"])
    path = f"/admin/v1/differences/{listed['items'][0]['id']}"
    assert (await service.call("GET", path, role="operator"))[0] == 200
    body = {"reason": "the shop knows", "dry_run": False}
    status, said = await service.call("POST", f"{path}/adopt", role="operator", json=body)
    assert (status, said["code"]) == (409, "cannot_be_adopted")
    status, said = await service.call("POST", f"{path}/acknowledge", role="operator", json=body)
    assert (status, said["difference"]["kind"]) == (200, "fee_differs")
