"""Every command that a page tells people to run is there, with each of its options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from console.cli.app import application

ROOT = Path(__file__).parents[4]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("services/*/README.md"), *ROOT.glob("deploy/**/*.md")]
)
COMMAND = re.compile(r"(?:^|[\s`(/])ordersctl ((?:[a-z-]|--)[^`\n#|]*(?:\|[a-z-]+)*)", re.MULTILINE)


def named(page: str) -> Iterator[list[str]]:
    """The words after each ``ordersctl`` in code, one list an alternative of ``retry|resume``."""
    for code in re.findall(r"```.*?```|`[^`]+`", page, re.DOTALL):
        for words in COMMAND.findall(" ".join(code.split()) if not code.startswith("```") else code):
            split = words.partition(" > ")[0].split()
            for verb in split[1].split("|") if len(split) > 1 else [None]:
                yield split if verb is None else [split[0], verb, *split[2:]]


def wrong(words: list[str], command: Any) -> str | None:
    """What of these words there is not, if anything."""
    rest = list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            return rest[0]
        command = command.commands[rest.pop(0)]
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help", "-h"}
    return next((word for word in rest if re.match(r"--?[a-z]", word) and word not in known), None)


@pytest.fixture(scope="module")
def ordersctl() -> Any:
    """All commands as they are run."""
    return typer.main.get_command(application())


def test_what_pages_tell_people_to_run_is_there(ordersctl: Any) -> None:
    found = [(page, words) for page in PAGES for words in named(page.read_text(encoding="utf-8"))]
    assert len(found) > 150
    assert [(page.name, " ".join(words)) for page, words in found if wrong(words, ordersctl) is not None] == []


def test_no_page_for_operators_sends_them_to_curl_or_an_address() -> None:
    operators = [ROOT / "docs" / "recipes.md", *(ROOT / "docs" / "runbooks").glob("**/*.md")]
    addresses = {
        f"{page.name}: {address}"
        for page in operators
        for address in re.findall(r"\b(?:GET|POST|PUT|DELETE) /admin/v1/[\w/{}-]+", page.read_text(encoding="utf-8"))
    }
    assert {each for each in addresses if not each.endswith(tuple(NO_COMMAND))} == set()


NO_COMMAND = {
    "PUT /admin/v1/roster",
    "GET /admin/v1/ledger",
    "GET /admin/v1/audit",
}
"""What has no command of its own."""


def options_without_words(command: Any, before: str = "") -> Iterator[str]:
    """Every option whose help says nothing, by its command."""
    for name, each in command.commands.items():
        if hasattr(each, "commands"):
            yield from options_without_words(each, f"{before}{name} ")
        else:
            options = [option for option in each.params if option.param_type_name == "option"]
            yield from (f"{before}{name} {option.opts[0]}" for option in options if not option.help)


def test_every_option_says_what_it_means(ordersctl: Any) -> None:
    assert list(options_without_words(ordersctl)) == []
