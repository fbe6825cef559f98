"""The list of screens and commands in the documentation is the one that there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import typer

from console.cli.app import application
from console.client.acts import ACTS
from console.client.things import THINGS
from console.web.screens import NAVIGATION
from tests.support.console_browser import Browser
from tests.unit.console.web.factories import Services

PAGE = (Path(__file__).parents[4] / "docs" / "console.md").read_text(encoding="utf-8")
NAMES = {"{id}": "EVIL", "{event}": "5-2", "{runbook}": "notifier-down"}


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the table under a heading."""
    part = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    for line in part.splitlines():
        if line.startswith("| ") and not line.startswith(("| screen ", "| command ")):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def commands(group: Any, before: str = "") -> Iterator[str]:
    """Every command that there is."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")
        else:
            yield before + name


async def test_every_screen_of_the_list_is_there_and_offers_what_the_list_says(
    browser: Browser, hostile: Services
) -> None:
    await browser.sign_in("token-admin")
    listed = list(rows("Screens"))
    missing = []
    for screen, address, _, does in listed:
        path = address.strip("`")
        for place, name in NAMES.items():
            path = path.replace(place, name)
        page = await browser.get(path)
        assert browser.status == 200, screen
        for act in re.findall(r"`([^`]+)`", does):
            noun, _, verb = act.partition(" ")
            assert act in ACTS or act == "customer erase", act
            if f"/change/{quote(noun)}/{quote(verb)}" not in page:
                missing.append((screen, act))
    assert missing == []
    addresses = {address.strip("`") for _, address, _, _ in listed}
    short = {thing.address for thing in THINGS.values() if thing.address is not None}
    assert {*short, *(screen.path for screen in NAVIGATION)} <= addresses


def test_every_command_of_the_list_is_there_and_no_other() -> None:
    listed = [command for cells in rows("Commands") for command in re.findall(r"`([^`]+)`", cells[0])]
    assert sorted(listed) == sorted(commands(typer.main.get_command(application())))
