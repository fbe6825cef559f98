"""Two people do the same to one thing: the second, whose plan is her own, is told who was first, and nothing happens twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from console.client.words import label
from tests.e2e.both_tools import Change
from tests.e2e.changes import CHANGES
from tests.e2e.trouble import Trouble
from tests.support.console_browser import Browser, browsing
from tests.support.suite_client import Client
from tests.support.terminal import Terminal

_ACTS = {
    "workflow stop": "workflow.stop",  # by a plan
    "incident ack": "incident.ack",
    "order cancel": "order.cancel",  # by the version
    "ticket close": "ticket.close",  # by neither: what is closed cannot be closed
    "ticket assign": "ticket.assign",
    "duty override": "roster.override",
    "instruction set": "instruction.change",
}
"""Act, and what the audit calls it."""


@pytest.fixture
async def another(client: Client) -> AsyncIterator[Browser]:
    """Somebody else's browser, without script."""
    async with browsing(client.suite.url("console"), language="en") as opened:
        yield opened


@pytest.mark.parametrize("act", _ACTS)
async def test_the_second_of_two_is_told_in_both_tools_who_was_first(
    act: str, client: Client, terminal: Terminal, browser: Browser, another: Browser, tmp_path: Path
) -> None:
    case = next(each for each in CHANGES if each.act == act)
    first = Change(case, terminal, browser, tmp_path)
    second = Change(replace(case, role="admin"), terminal, another, tmp_path)
    name, _ = await first.sign_in(client), await second.sign_in(client)
    trouble = Trouble(client)
    things = [await case.make(trouble)] if case.make else []
    fields = await case.filled_in(trouble, things[0] if things else "")
    plan = await first.rehearse_in_the_browser(things, fields)
    hers = [await second.rehearse_at_the_terminal(things, fields), await second.rehearse_in_the_browser(things, fields)]
    done = await first.apply_in_the_browser(plan)
    assert await first.watch_in_the_browser(done) == f"Seen: 1 {label(case.seen)}"

    late = await second.apply_at_the_terminal(hers[0])
    [item] = late.json["items"]
    assert (late.code, late.json["already_applied"]) == (1, False)
    assert (item["outcome"], item["changed_by"], item["change"]) == ("changed_since", name, _ACTS[act])
    assert f"left alone: {name} has changed it since the plan" in late.remarks
    [item] = (await second.apply_in_the_browser(hers[1]))["items"]
    assert (item["outcome"], item["shown"]["changed_by"]) == ("changed_since", name)
    assert f"changed since the plan by {name}" in another.page
    assert "nothing was changed" in another.page
    [item] = (await second.apply_in_the_browser(plan))["items"]
    assert item["outcome"] == "changed_since", "another person's plan is no more than one's own"
    again = await first.apply_at_the_terminal(plan)
    assert (again.code, again.json["already_applied"]) == (0, True)
    audit = await client.get(case.found.service, "/admin/v1/audit", limit=50)
    reasons = [record["reason"] for record in audit["items"]]
    assert (reasons.count(first.reason), reasons.count(second.reason)) == (1, 0)
