"""A refund where the captured sum is known: both tools say before what both services then do, and what does not fit is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.both_tools import Change, as_printed, differing
from tests.e2e.case import Case
from tests.e2e.trouble import ORCHESTRATOR, REFUNDS, Trouble
from tests.support.console_browser import Browser
from tests.support.servers import eventually
from tests.support.suite_client import Client
from tests.support.terminal import Terminal

REFUND = Case(act="order refund", seen="SUCCESS", known_later={"business_key"})


async def half_refunded(client: Client) -> tuple[str, str]:
    """An order of which half was paid back, so that refunds knows what was captured; and its payment."""
    trouble = Trouble(client)
    refund = await client.get(REFUNDS, f"/refunds/v1/refunds/{await trouble.paid_refund()}")
    order = await client.get(ORCHESTRATOR, f"/orders/v1/orders/{refund['order_number']}", role="internal")
    return str(order["number"]), str(order["payment"]["id"])


async def books(client: Client, payment: str) -> tuple[int, int, int]:
    """What was captured, what went back, what is left."""
    held = await client.get(REFUNDS, f"/admin/v1/payments/{payment}")
    return held["captured"], held["refunded"], held["left"]


async def refused(change: Change, terminal: Terminal, browser: Browser, number: str, *, amount: str, code: str) -> None:
    """Both tools refuse it before it is asked for."""
    words = ["order", "refund", number, "-r", "too much", "--dry-run", *(["--amount", amount] if amount else [])]
    ended = await terminal(*words)
    assert (ended.code, code in ended.remarks + ended.out) == (1, True), ended.remarks
    page = await browser.post("/change/order/refund", ids=number, reason="too much", **{"field.amount": amount})
    assert 'name="plan"' not in page, change.reason


@pytest.mark.parametrize("tool", ["terminal", "browser"])
async def test_all_that_is_left_is_told_before_and_is_what_goes_back(
    tool: str, client: Client, terminal: Terminal, browser: Browser, tmp_path: Path
) -> None:
    number, payment = await half_refunded(client)
    change = Change(REFUND, terminal, browser, tmp_path)
    await change.sign_in(client)
    await refused(change, terminal, browser, number, amount="85.01", code="exceeds_captured")
    told = await terminal("order", "refund", number, "-r", "to be told", "--dry-run", "-o", "json")
    assert f"all that is left, 85.00 RUB of payment {payment}" in told.remarks
    assert re.search(r"That is RUB.85\.00", await browser.get(f"/change/order/refund?ids={number}"))

    if tool == "terminal":
        planned = await change.rehearse_at_the_terminal([number], {})
        assert await books(client, payment) == (17000, 8500, 8500)
        done = (await change.apply_at_the_terminal(planned)).json["items"]
        assert differing([as_printed(item) for item in planned["items"]], done) <= REFUND.known_later
    else:
        planned = await change.rehearse_in_the_browser([number], {})
        assert await books(client, payment) == (17000, 8500, 8500)
        done = (await change.apply_in_the_browser(planned))["items"]
        assert differing(planned["items"], done) <= REFUND.known_later

    async def paid() -> bool:
        page = await client.get(REFUNDS, "/admin/v1/refunds", order=number)
        return [(item["amount"], item["state_name"]) for item in page["items"]] == [(8500, "SUCCESS")] * 2

    await eventually(paid, what="both halves paid back")
    assert await books(client, payment) == (17000, 17000, 0)
    await refused(change, terminal, browser, number, amount="", code="asked_before")
