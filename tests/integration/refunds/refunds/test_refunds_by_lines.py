"""Refunds of parts of an order."""

from __future__ import annotations

from tests.integration.refunds.factories import Start


async def test_parts_of_an_order_are_refunded_line_by_line_and_add_up(start: Start) -> None:
    service = await start()
    await service.sandbox.put_payment("pay-1", captured=150)
    line = {"id": "sku-1", "quantity": "1", "of_quantity": "3", "paid": 100}
    tips = {"id": "tips", "kind": "tips", "paid": 50}
    amounts = []
    for number, lines in enumerate(([line], [line, tips], [line])):
        status, accepted = await service.request(amount=None, lines=lines, business_key=f"part-{number}")
        assert status == 202
        paid = await service.reaches(accepted["id"], "SUCCESS")
        amounts.append((paid["amount"], [(one["id"], one["kind"], one["amount"]) for one in paid["lines"]]))
    refused = await service.request(amount=None, lines=[line], business_key="one too many")
    wrong_sum = await service.request(amount=1, lines=[{**line, "id": "sku-2"}], business_key="wrong sum")

    assert amounts == [
        (33, [("sku-1", "position", 33)]),
        (83, [("sku-1", "position", 33), ("tips", "tips", 50)]),
        (34, [("sku-1", "position", 34)]),
    ]
    assert (refused[0], refused[1]["code"]) == (409, "line_conflict")
    assert (wrong_sum[0], wrong_sum[1]["code"]) == (422, "lines_do_not_add_up")
    assert (await service.ledger())["refunded"] == 150
    published = await service.event("orchestrator.journal", "journal.entry.recorded.v1", kind="refund.create")
    assert published["details"]["lines"] == "position sku-1: 1 of 3 = 33"
