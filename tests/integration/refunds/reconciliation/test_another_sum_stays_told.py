"""A payment system that has paid another sum: whoever looks at the refund's state meanwhile does not end what the register says."""

from __future__ import annotations

from tests.integration.refunds.factories import InWorld
from tests.support.refund_world import World


async def test_another_sum_in_the_register_is_told_once_until_it_is_ours(in_world: InWorld) -> None:
    def story(world: World) -> None:
        world.run(world.sandbox.control("PUT", "/sandbox/trust/payments/pay-1", {"captured": 100, "polls": 0}))
        refund_id = world.run(world.want("pay-1", amount=60, key="a"))
        for _ in range(3):
            world.run(world.deliver())
            assert world.run(world.work(world.instance()))
            world.pass_time(60.0)
        [theirs] = world.sandbox.world.trust.money.refunds.values()
        assert theirs.status == "success"
        theirs.amount = 40
        name = f"refund-difference:trust:{refund_id}:amount_differs"
        for _ in range(2):
            found = world.run(world.reconcile_all(world.instance()))
            assert found is not None
            assert [one.kind for one in found.differences] == ["amount_differs"]
            world.run(world.notify(world.instance(), "trust", theirs.id))
            assert world.run(world.press_check(world.instance(), str(refund_id))) == "SUCCESS"
            world.run(world.deliver())
            assert (dict(world.problems), dict(world.resolved)) == ({name: 1}, {})
        theirs.amount = 60
        world.run(world.reconcile_all(world.instance()))
        world.run(world.deliver())
        assert dict(world.resolved) == {name: 1}

    await in_world(story)
