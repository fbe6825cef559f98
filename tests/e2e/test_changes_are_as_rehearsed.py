"""Every change of both tools: what was rehearsed is what is done, once, and told; what has changed meanwhile is left alone."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from console.client.acts import ACTS
from console.client.operations import SERVICES, Operation, operations
from console.client.words import label
from tests.e2e.both_tools import Change, as_printed, differing
from tests.e2e.case import Case
from tests.e2e.changes import CHANGES
from tests.e2e.told import orders_of, told_otherwise
from tests.e2e.trouble import NOTIFIER, Trouble
from tests.support.console_browser import Browser
from tests.support.servers import eventually
from tests.support.suite_client import Client
from tests.support.terminal import Terminal


@pytest.fixture(autouse=True)
async def duty_as_planned(client: Client) -> AsyncIterator[None]:
    """Nobody stands in for anybody afterwards: the other tests of this suite have a duty of their own."""
    yield
    for override in (await client.get(NOTIFIER, "/admin/v1/roster"))["overrides"]:
        await client.delete(
            client.suite.url(NOTIFIER) + f"/admin/v1/roster/overrides/{override['id']}", role="operator"
        )


@pytest.mark.parametrize("case", CHANGES, ids=str)
async def test_what_was_rehearsed_is_what_is_done_and_once(
    case: Case, client: Client, terminal: Terminal, browser: Browser, tmp_path: Path
) -> None:
    trouble = Trouble(client)
    change = Change(case, terminal, browser, tmp_path)
    me = await change.sign_in(client)
    bulk = case.found.by_plan is not None
    names = list(await asyncio.gather(*(make(trouble) for make in [case.make] * 2 if make)))
    fields = await case.filled_in(trouble, names[0] if names else "")

    both = await change.rehearse_at_the_terminal(names if bulk else names[:1], fields)
    planned = await change.rehearse_in_the_browser(names[:1], fields)
    assert differing(both["items"][:1], planned["items"]) <= case.known_later
    assert await audited(client, case, change.reason) == 0

    pressed = datetime.now(UTC)
    done = await change.apply_in_the_browser(planned)
    assert differing(planned["items"], done["items"]) <= case.known_later
    assert await audited(client, case, change.reason) == 1
    assert await change.watch_in_the_browser(done) == f"Seen: 1 {label(case.seen)}"
    if (proof := case.proof) is not None:
        await eventually(lambda: proof(trouble, names[0] if names else "", done["items"][0]["shown"]))

    repeated = await change.apply_at_the_terminal(planned)
    assert (repeated.code, repeated.json["already_applied"]) == (0, True), repeated.remarks
    if case.found.service != "notifier":
        named, orders = done["items"][0]["notices"], [name for name in names[:1] if case.found.noun == "order"]
        numbers = {*orders, *orders_of(named)}

        async def as_named() -> bool:
            assert await told_otherwise(client, named, numbers, since=pressed) == []
            return True

        await eventually(as_named, what="people are told what was named")
    if not bulk or case.repeatable:
        await done_at_the_terminal(Change(case, terminal, browser, tmp_path), trouble, names[1:])
    if case.repeatable:
        return
    late = await change.apply_at_the_terminal(both, *(["--wait"] if bulk else []))
    left, *others = late.json["items"]
    if case.act in NEVER_CONFLICTS:
        assert (late.code, left["outcome"] != "changed_since") == (0, True), NEVER_CONFLICTS[case.act]
        return
    assert (late.code, left["outcome"], left["changed_by"]) == (7 if bulk else 1, "changed_since", me)
    if bulk:
        assert differing([as_printed(both["items"][1])], others) <= case.known_later | case.of_the_first
        assert f"seen: 1 {case.seen}" in late.remarks


async def done_at_the_terminal(change: Change, trouble: Trouble, names: list[str]) -> None:
    """``ordersctl`` alone, with another thing: what it has rehearsed is what it does, and it watches the effect to its end."""
    case = change.case
    fields = await case.filled_in(trouble, names[0] if names else "")
    planned = await change.rehearse_at_the_terminal(names, fields)
    done = await change.do_at_the_terminal(names, fields)
    assert done.code == (1 if case.found.failed(case.seen) else 0), done.remarks
    if case.act == "customer erase":  # it sums up what was done in each service
        [erased], [item] = done.json, planned["items"]
        assert erased["service"] == case.service
        assert erased["places"] == item["shown"]["places"] or "places" in case.known_later
        assert "seen: erased in 1 service" in done.remarks
        return
    assert differing([as_printed(item) for item in planned["items"]], done.json["items"]) <= case.known_later
    assert f"seen: 1 {case.seen}" in done.remarks


NEVER_CONFLICTS = {
    "order enter-event": "an event is told once more; the order knows a repeat",
    "endangered call": "each call is one of its own",
    "incident comment": "so is each comment",
    "ticket comment": "so is each comment",
    "ticket summon": "who is summoned is summoned: the answer is the same incident",
    "silence end": "one that is over stays as it was: the answer says since when",
    "duty confirm": "a shift that was confirmed stays confirmed",
    "ticket open": "makes a thing of its own, whatever others have made",
    "silence add": "makes a thing of its own",
    "known-defect add": "makes a thing of its own",
    "message test": "makes a thing of its own",
    "customer erase": "blanks what is there; there is nothing to overwrite",
}
"""Acts that nobody can have come before, and why: done after another has done the same they are done as well."""


async def audited(client: Client, case: Case, reason: str) -> int:
    page = await client.get(case.found.service, "/admin/v1/audit", limit=50)
    return sum(item["reason"] == reason for item in page["items"])


ELSEWHERE = {
    "refunds POST /admin/v1/reconciliation": "asks payment systems only: `check refunds` runs it as a rehearsal",
    "refunds POST /refunds/v1/refunds": "for machines: people ask the orchestrator",
    "notifier POST /admin/v1/tickets/{key}/links": "the older spelling of `link`",
    "notifier PUT /admin/v1/people": "a file's whole content: `people set` puts it, and puts back what was there",
    "notifier PUT /admin/v1/roster": "a plan's whole content: so does `roster set`",
}
"""Operations with a rehearsal that are not driven here, and why."""


def test_every_operation_that_can_be_rehearsed_is_in_the_table() -> None:
    driven = {spelled(found) for case in CHANGES for found in (case.found.by_name, case.found.by_plan) if found}
    of_one = {line for line in all_with_a_rehearsal() if re.sub(r"/\{(id|number)\}/", "/", line) in driven}
    assert all_with_a_rehearsal() - driven - of_one == set(ELSEWHERE)
    assert {(case.act, case.service) for case in CHANGES} >= {(name, None) for name in ACTS if name != "check refunds"}
    assert {case.service for case in CHANGES if case.act == "dead-letter mend"} == {*SERVICES} - {"tips"}


def all_with_a_rehearsal() -> set[str]:
    """Every operation that takes ``dry_run``."""
    return {spelled(each) for each in operations().values() if each.takes("dry_run")}


def spelled(operation: Operation) -> str:
    """An operation in one line."""
    return f"{operation.service} {operation.method} {operation.path}"
