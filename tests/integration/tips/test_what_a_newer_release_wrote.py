"""In a roll-out a newer release writes words that this one does not know: they are no reason to answer nothing."""

from __future__ import annotations

from .conftest import Start


async def test_an_order_with_a_choice_of_a_newer_release_is_answered(start: Start) -> None:
    service = await start()
    await service.order()
    await service.feedback()
    assert (await service.set_sum())[0] == 200
    for column in ("tips_type", "tips_choice"):
        await service.orders.execute(f"ALTER TABLE orders DROP CONSTRAINT orders_{column}_check")
    await service.orders.execute("UPDATE orders SET tips_type = 'rounded_up', tips_choice = 'voice'")

    for status, body in [
        await service.set_sum(),
        await service.need_hold(),
        await service.call("GET", "/admin/v1/explain?order_id=ORDER1", role="viewer"),
    ]:
        assert status == 200, body
