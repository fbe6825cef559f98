"""Every change of both tools: what was rehearsed is what is done, once, and what has changed meanwhile is left alone."""

from __future__ import annotations

import asyncio
import html
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from common.testing import eventually
from console.client.acts import ACTS, Act
from console.client.operations import SERVICES, Operation, operations
from console.web.change.forms import inputs
from console.web.filters import label
from tests.e2e.changes import CHANGES, Case
from tests.e2e.trouble import Trouble
from tests.support.console_browser import Browser, browsing
from tests.support.suite_client import Client
from tests.support.terminal import Ended, Terminal

_SEALED = re.compile(r'name="(plan|done)" value="([^"]*)"')
_PROFILES = {"operator": "local", "admin": "local-admin"}


@pytest.fixture
def terminal(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Somebody at a terminal of this suite."""
    monkeypatch.setenv("SUITE_RUN_DIR", str(client.suite.directory))
    monkeypatch.setenv("ORDERSCTL_CONFIG_DIR", str(tmp_path))
    return Terminal()


@pytest.fixture
async def browser(client: Client) -> AsyncIterator[Browser]:
    """Somebody's browser, without script."""
    async with browsing(client.suite.url("console"), language="en") as opened:
        yield opened


class Change:
    """One case as it is made in both tools."""

    def __init__(self, case: Case, terminal: Terminal, browser: Browser, config: Path) -> None:
        self.case, self.act = case, case.found
        self.reason = f"rehearsed {secrets.token_hex(6)}"
        self._terminal, self._browser, self._config = terminal, browser, config

    async def rehearse_at_the_terminal(self, names: list[str], fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the plan of ``--dry-run -o json``."""
        given = [part for name, value in fields.items() for part in _option(self.act, name, value)]
        service = ["--service", self.case.service] if self.case.service else []
        ended = await self._ordersctl(
            self.act.noun, self.act.verb, *names, *service, *given, "-r", self.reason, "--dry-run"
        )
        assert ended.code == 0, ended.remarks
        return dict(ended.json)

    async def rehearse_in_the_browser(self, names: list[str], fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the plan that the page carries."""
        filled = {name: text for field, value in fields.items() for name, text in _typed(self.act, field, value)}
        if self.case.service:
            filled["service"] = self.case.service
        path = f"/change/{self.act.noun}/{self.act.verb}"
        await self._browser.get(path + (f"?service={self.case.service}" if self.case.service else ""))
        await self._browser.post(path, ids=names[0] if names else "", reason=self.reason, **filled)
        assert self._browser.status == 200, self._browser.page
        return self._sealed("plan")

    async def apply_in_the_browser(self, plan: Mapping[str, Any]) -> dict[str, Any]:
        """Press the button; return what was done, as the page carries it."""
        await self._browser.post("/apply", plan=json.dumps(plan))
        assert self._browser.status == 200, self._browser.page
        return self._sealed("done")

    async def apply_at_the_terminal(self, plan: Mapping[str, Any]) -> Ended:
        """``ordersctl apply`` a plan, whichever tool made it."""
        file = self._config / "plan.json"
        file.write_text(
            json.dumps({"ordersctl_plan": 1, "profile": _PROFILES[self.case.role], **plan}), encoding="utf-8"
        )
        return await self._ordersctl("apply", str(file), "--yes")

    async def watch_in_the_browser(self, done: Mapping[str, Any]) -> str:
        """Look again until nothing moves any more; return what is seen then."""

        async def settled() -> str | None:
            page = await self._browser.post("/watch", done=json.dumps(done))
            status = page.partition('id="watched"')[2].partition("</p>")[0].partition("<p")[2].partition(">")[2]
            return None if 'class="moving"' in status else " ".join(re.sub(r"<[^>]+>", " ", status).split())

        return str(await eventually(settled, within=60, what="an effect that is seen"))

    async def _ordersctl(self, *arguments: str) -> Ended:
        return await self._terminal(*arguments, "-p", _PROFILES[self.case.role], "-o", "json")

    def _sealed(self, name: str) -> dict[str, Any]:
        found = dict(_SEALED.findall(self._browser.page))
        assert name in found, self._browser.page
        return dict(json.loads(html.unescape(found[name])))


@pytest.mark.parametrize("case", CHANGES, ids=str)
async def test_what_was_rehearsed_is_what_is_done_and_once(
    case: Case, client: Client, terminal: Terminal, browser: Browser, tmp_path: Path
) -> None:
    trouble = Trouble(client)
    await browser.sign_in(client.suite.token(case.role))
    change = Change(case, terminal, browser, tmp_path)
    bulk = case.found.by_plan is not None
    makers = [case.make] * (2 if bulk else 1) if case.make else []
    names = list(await asyncio.gather(*(make(trouble) for make in makers)))
    fields = await case.filled_in(trouble, names[0] if names else "")

    both = await change.rehearse_at_the_terminal(names, fields)
    planned = await change.rehearse_in_the_browser(names[:1], fields)
    assert differing(both["items"][:1], planned["items"]) <= case.known_later
    assert await audited(client, case, change.reason) == 0

    done = await change.apply_in_the_browser(planned)
    assert differing(planned["items"], done["items"]) <= case.known_later
    assert await audited(client, case, change.reason) == 1
    seen = await change.watch_in_the_browser(done)
    assert seen == (
        f"Seen: 1 {label(case.seen)}"
        if case.seen
        else f"The answer of the service is the whole effect: {label(done['items'][0]['outcome'])}: 1"
    )
    if (proof := case.proof) is not None:
        await eventually(lambda: proof(trouble, names[0] if names else "", done["items"][0]["shown"]), within=60)

    repeated = await change.apply_at_the_terminal(planned)
    assert (repeated.code, repeated.json["already_applied"]) == (0, True), repeated.remarks
    if case.repeatable:
        return
    late = await change.apply_at_the_terminal(both)
    if bulk:
        assert (late.code, late.json["items"][0]["outcome"]) == (7, "changed_since")
        assert differing([as_printed(both["items"][1])], late.json["items"][1:]) <= case.known_later
    elif case.versioned:
        assert (late.code, late.json["items"][0]["outcome"]) == (1, "refused")


def flat(held: Any, path: str = "") -> dict[str, Any]:
    """Everything that stands in a value, by dotted path; of lists by their places."""
    parts = dict(enumerate(held)) if isinstance(held, list) else held
    if not isinstance(parts, dict) or not parts:
        return {path: held}
    return {
        where: each
        for name, part in parts.items()
        for where, each in flat(part, f"{path}.{name}" if path else str(name)).items()
    }


def differing(planned: Any, done: Any) -> set[str]:
    """Where two values differ, without places in lists."""
    one, other = flat(planned), flat(done)
    places = {path for path in one.keys() | other.keys() if one.get(path, ...) != other.get(path, ...)}
    return {re.sub(r"^(\d+\.)?(shown\.)?", "", path) for path in places}


def as_printed(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item of a plan as ``ordersctl`` shows what was done."""
    return {**item["shown"], **{name: held for name, held in item.items() if name != "shown"}}


async def audited(client: Client, case: Case, reason: str) -> int:
    page = await client.get(case.found.service, "/admin/v1/audit", limit=50)
    return sum(item["reason"] == reason for item in page["items"])


def _option(act: Act, name: str, value: Any) -> list[str]:
    if act.place is not None and name == act.place.name:
        return [str(value)]
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [option if value else f"--no-{option[2:]}"]
    return [option, _text(act, name, value)]


def _typed(act: Act, name: str, value: Any) -> Iterator[tuple[str, str]]:
    """What is typed into the inputs of a field; one that has parts has an input for each."""
    if next(each.kind for each in inputs(act) if each.field.name == name) == "parts":
        for part, held in value.items():
            yield f"field.{name}.{part}", ", ".join(held) if isinstance(held, list) else str(held)
    else:
        yield f"field.{name}", _text(act, name, value)


def _text(act: Act, name: str, value: Any) -> str:
    kind = next(each.kind for each in inputs(act) if each.field.name == name)
    if kind == "tick":
        return "1" if value else ""
    if kind == "money":
        return f"{value / 100:.2f}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list, bool)) else str(value)


ELSEWHERE = {
    "refunds POST /admin/v1/reconciliation": "asks payment systems only: `check refunds` runs it as a rehearsal",
    "refunds POST /refunds/v1/refunds": "for machines: people ask the orchestrator",
    "notifier POST /admin/v1/tickets/{key}/links": "the older spelling of `link`",
    "notifier PUT /admin/v1/people": "a file's whole content; `api` sends it",
    "notifier PUT /admin/v1/roster": "a plan's whole content; `api` sends it",
}
"""Operations with a rehearsal that neither tool has a command for, and why."""


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
