"""The plan of duty and the colleagues are put as files at a terminal of the running suite; what was there is put back the same way."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.trouble import NOTIFIER
from tests.support.real_terminal import ENTER, RealTerminal
from tests.support.suite_client import Client

_VERSION = re.compile(r"version (\d+)")
Document = Mapping[str, Any]


def _a_week_more(plan: Document) -> Document:
    """The last one twice in a row: who is on duty in the first weeks stays."""
    return {**plan, "rotation": [*plan["rotation"], plan["rotation"][-1]]}


def _a_colleague_more(people: Document) -> Document:
    """Somebody of whom nothing is known but her name."""
    vera = {"id": f"vera-{secrets.token_hex(4)}", "name": "Vera", "role": people["people"][0]["role"]}
    return {**people, "people": [*people["people"], vera]}


@pytest.mark.parametrize(
    ("noun", "profile", "changed", "told"),
    [("roster", "local", _a_week_more, "instead of"), ("people", "local-admin", _a_colleague_more, "added: vera-")],
)
async def test_a_file_is_rehearsed_put_and_put_back(
    noun: str,
    profile: str,
    changed: Callable[[Document], Document],
    told: str,
    client: Client,
    real_terminal: RealTerminal,
    tmp_path: Path,
) -> None:
    async def shown() -> tuple[Any, int]:
        """What holds, as a file, and its version."""
        held = await real_terminal.piped(noun, "show", "-o", "json", "-p", profile)
        version = _VERSION.search(held.remarks)
        assert (held.code, version is not None) == (0, True), held.remarks
        return held.json, int(version[1]) if version else 0

    async def put_at_the_terminal(document: Document) -> str:
        """Put it, asked for a reason and for consent; return what was read."""
        file = tmp_path / f"{noun}.json"
        file.write_text(json.dumps(document), encoding="utf-8")
        async with real_terminal.opened(noun, "set", str(file), "-p", profile, "--wait", columns=240) as session:
            await session.shows("Reason")
            session.types(reason + ENTER)
            await session.shows("Do it? [y/N]")
            session.types("y" + ENTER)
            ended = await session.ended()
        assert (ended.code, "seen: 1 in_force" in ended.text) == (0, True), ended.text
        return ended.text

    reason = f"a file {secrets.token_hex(6)}"
    before, version = await shown()
    after = changed(before)
    file = tmp_path / "rehearsed.json"
    file.write_text(json.dumps(after), encoding="utf-8")
    words = (noun, "set", str(file), "-p", profile, "-r", reason, "-o", "json")
    plan = await real_terminal.piped(*words, "--dry-run")
    assert (plan.code, len(plan.json["items"])) == (0, 1), plan.remarks
    assert await shown() == (before, version)
    try:
        said = (await put_at_the_terminal(after)).partition("Do it?")[0]
        assert told in said
        assert _as_put((await shown())[0], after)
        assert (await shown())[1] == version + 1
        refused = await real_terminal.piped(*words, "--yes", "--expected-version", str(version))
        assert (refused.code, (await shown())[1]) == (1, version + 1), refused.remarks
        late = await real_terminal.piped("apply", "-", "--yes", "-p", profile, "-o", "json", typed=plan.out)
        assert (late.code, late.json["items"][0]["outcome"]) == (1, "changed_since"), late.remarks
    finally:
        await put_at_the_terminal(before)
    assert _as_put((await shown())[0], before)
    audit = await client.get(NOTIFIER, "/admin/v1/audit", limit=50)
    assert sum(item["reason"] == reason for item in audit["items"]) == 2


def _as_put(held: Document, put: Document) -> bool:
    """Whether it holds all that was put; what was left out has its usual value."""
    if "people" not in put:
        return {name: held[name] for name in put} == dict(put)
    known = {each["id"]: each for each in held["people"]}
    same = all(each.items() <= known[each["id"]].items() for each in put["people"])
    return same and known.keys() == {each["id"] for each in put["people"]} and held["owners"] == put["owners"]
