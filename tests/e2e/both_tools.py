"""One change as a person makes it in either tool: at a terminal, or in the console without script."""

from __future__ import annotations

import html
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from console.client.acts import Act
from console.web.change.forms import inputs
from tests.e2e.case import Case
from tests.support.console_browser import Browser
from tests.support.servers import eventually
from tests.support.suite_client import Client
from tests.support.terminal import Ended, Terminal

_SEALED = re.compile(r'name="(plan|done)" value="([^"]*)"')
_PROFILES = {"operator": "local", "admin": "local-admin"}


class Change:
    """One case as it is made in both tools."""

    def __init__(self, case: Case, terminal: Terminal, browser: Browser, config: Path) -> None:
        self.case, self.act = case, case.found
        self.reason = f"rehearsed {secrets.token_hex(6)}"
        self._terminal, self._browser, self._config = terminal, browser, config

    async def sign_in(self, client: Client) -> str:
        """Sign in to the console as whoever does it at the terminal; return her name."""
        await self._browser.sign_in(client.suite.token(self.case.role))
        return str((await client.get(self.act.service, "/admin/v1/whoami", role=self.case.role))["name"])

    async def rehearse_at_the_terminal(self, names: list[str], fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the plan of ``--dry-run -o json``."""
        ended = await self._ordersctl(*self._words(names, fields), "--dry-run")
        assert ended.code == 0, ended.remarks
        return dict(ended.json)

    async def do_at_the_terminal(self, names: list[str], fields: Mapping[str, Any]) -> Ended:
        """Do it without a question, and watch its effect to the end."""
        return await self._ordersctl(*self._words(names, fields), "--yes", "--wait")

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

    async def apply_at_the_terminal(self, plan: Mapping[str, Any], *options: str) -> Ended:
        """``ordersctl apply`` a plan, whichever tool made it."""
        file = self._config / "plan.json"
        file.write_text(
            json.dumps({"ordersctl_plan": 1, "profile": _PROFILES[self.case.role], **plan}), encoding="utf-8"
        )
        return await self._ordersctl("apply", str(file), "--yes", *options)

    async def watch_in_the_browser(self, done: Mapping[str, Any]) -> str:
        """Look again until nothing moves any more; return what is seen then."""

        async def settled() -> str | None:
            page = await self._browser.post("/watch", done=json.dumps(done))
            status = page.partition('id="watched"')[2].partition("</p>")[0].partition("<p")[2].partition(">")[2]
            return None if 'class="moving"' in status else " ".join(re.sub(r"<[^>]+>", " ", status).split())

        return str(await eventually(settled, what="an effect that is seen"))

    def _words(self, names: list[str], fields: Mapping[str, Any]) -> list[str]:
        given = [part for name, value in fields.items() for part in _option(self.act, name, value)]
        service = ["--service", self.case.service] if self.case.service else []
        return [self.act.noun, self.act.verb, *names, *service, *given, "-r", self.reason]

    async def _ordersctl(self, *arguments: str) -> Ended:
        return await self._terminal(*arguments, "-p", _PROFILES[self.case.role], "-o", "json")

    def _sealed(self, name: str) -> dict[str, Any]:
        found = dict(_SEALED.findall(self._browser.page))
        assert name in found, self._browser.page
        return dict(json.loads(html.unescape(found[name])))


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


_OUTCOME = re.compile(r"if it (succeeds|fails): ")


def lasting(items: Any) -> Any:
    """Items without the notices that depend on whether the message about an incident was sent, and its ticket opened, by now."""
    meanwhile = ("message.edited ", "ticket.", "call.dropped ")
    return [
        {
            **each,
            "notices": [line for line in each.get("notices") or () if not _OUTCOME.sub("", line).startswith(meanwhile)],
        }
        for each in items
    ]


def differing(planned: Any, done: Any) -> set[str]:
    """Where two values differ, without places in lists, and without notices about what was sent meanwhile."""
    one, other = flat(lasting(planned)), flat(lasting(done))
    places = {path for path in one.keys() | other.keys() if one.get(path, ...) != other.get(path, ...)}
    return {re.sub(r"^(\d+\.)?(shown\.)?", "", path) for path in places}


def as_printed(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item of a plan as ``ordersctl`` shows what was done."""
    named = item["id"] or str(item["shown"].get("id") or "")  # what is done to nothing goes by the name of what it made
    return {**item["shown"], **{name: held for name, held in item.items() if name != "shown"}, "id": named}
