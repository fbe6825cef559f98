"""A call that comes after its key is forgotten pays once more: nobody can take it back, and reconciliation tells it once."""

from __future__ import annotations

from typing import Any

import pytest

from refunds.refunds.states import RefundState
from sandbox.faults import FaultMode, FaultOrder
from tests.integration.refunds.factories import InWorld
from tests.support.refund_world import World

DAY = 86400.0


@pytest.mark.parametrize("declined", [False, True])
async def test_what_is_paid_again_under_a_key_of_ours_is_told_once(in_world: InWorld, declined: bool) -> None:
    def story(world: World) -> None:
        body: dict[str, Any] = {"captured": 100, "polls": 0}
        world.run(world.sandbox.control("PUT", "/sandbox/yookassa/payments/yk-1", body))
        faults = world.sandbox.world.yookassa.faults
        if declined:
            faults.add(FaultOrder(mode=FaultMode.DECLINED, match="create_refund", count=1))
        faults.add(FaultOrder(mode=FaultMode.LATE, match="create_refund", count=1))
        refund_id = world.run(world.want("yk-1", amount=40, key="only"))
        for _ in range(6):
            world.run(world.deliver())
            assert world.run(world.work(world.instance()))
            world.pass_time(600.0)
        [refund] = world.run(world.fetch("SELECT state, attempt FROM refunds"))
        assert (RefundState(refund["state"]).name, refund["attempt"]) == ("SUCCESS", 2 if declined else 1)
        world.run(world.reconcile_all(world.instance()))
        world.run(world.deliver())
        assert dict(world.problems) == {}

        world.pass_time(2 * DAY)
        assert world.run(world.sandbox.control("POST", "/sandbox/yookassa/late")) == {"took_effect": 1}
        made = world.ledgers()["yk-1"]["refunds"]
        assert sum(one["payouts"] for one in made) == 2
        for _ in range(2):
            found = world.run(world.reconcile_all(world.instance()))
            assert found is not None
            assert [(one.kind, one.subject) for one in found.differences] == [("unknown_to_us", made[-1]["id"])]
        world.run(world.deliver())
        assert dict(world.problems) == {f"refund-difference:yookassa:{made[-1]['id']}:unknown_to_us": 1}
        [refund] = world.run(world.fetch("SELECT id, state FROM refunds"))
        assert (str(refund["id"]), RefundState(refund["state"]).name) == (refund_id, "SUCCESS")

    await in_world(story)
