"""Runbooks as pages: every one of them, its links, and nothing that is not a runbook."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from common.http.runbook_pages import runbook
from notifier.incidents.kinds import KINDS

FOLDER = Path(__file__).parents[4] / "docs" / "runbooks"


def test_every_runbook_is_a_page_whose_links_are_pages_too() -> None:
    names = {file.stem for file in FOLDER.glob("*.md")}
    assert len(names) > 50
    for name in names:
        page = runbook(FOLDER, name, language="en")
        assert page is not None
        assert "<h1>" in page
        for link in re.findall(r'href="([^"]+)"', page):
            assert link.startswith(("https://", "#")) or link.split("#")[0].removeprefix("/runbook/") in names, link


ENGLISH = sorted(file.stem for file in FOLDER.glob("*.md") if file.stem != "README")
RUSSIAN = sorted(file.stem for file in (FOLDER / "ru").glob("*.md"))


def test_every_runbook_is_written_in_both_languages() -> None:
    assert RUSSIAN == ENGLISH
    assert {kind.runbook for kind in KINDS.values() if kind.runbook and "{" not in kind.runbook} <= set(ENGLISH)


@pytest.mark.parametrize(
    ("english", "russian"),
    [
        *((FOLDER / f"{name}.md", FOLDER / "ru" / f"{name}.md") for name in RUSSIAN),
        (FOLDER.parent / "recipes.md", FOLDER.parent / "recipes.ru.md"),
        (FOLDER.parent / "personal-data.md", FOLDER.parent / "personal-data.ru.md"),
    ],
    ids=lambda path: path.name,
)
def test_a_russian_page_has_the_headings_steps_and_commands_of_the_english(english: Path, russian: Path) -> None:
    ours, theirs = (_outline(path) for path in (russian, english))
    assert ours == theirs
    assert re.search("[а-яё]{4}", russian.read_text(encoding="utf-8"))


def _outline(path: Path) -> tuple[Counter[str], Counter[str]]:
    """How many headings, list items and rows of tables a page has, and its commands."""
    tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))
    inline = [child for token in tokens for child in token.children or []]
    commands = [token.content for token in (*tokens, *inline) if token.type in {"code_inline", "fence"}]
    kinds = {"heading_open", "list_item_open", "tr_open", "paragraph_open"}
    return Counter(token.type + token.tag for token in tokens if token.type in kinds), Counter(commands)


@pytest.mark.parametrize("name", RUSSIAN)
def test_a_page_is_served_in_the_language_of_the_setting(name: str) -> None:
    russian, english = (runbook(FOLDER, name, language=language) for language in ("ru", "en"))
    assert russian is not None
    assert english is not None
    assert ("Сделайте." in russian) == ("Do." in english)
    for link in re.findall(r'href="([^"]+)"', russian):
        assert runbook(FOLDER, link.split("#")[0].removeprefix("/runbook/"), language="ru") is not None
    assert english == runbook(FOLDER, name, language="de")


@pytest.mark.parametrize("name", ["../architecture", "..%2farchitecture", "", "no-such-page", "a.md", "x/y", "\x00"])
def test_what_is_no_runbook_is_none(name: str) -> None:
    assert runbook(FOLDER, name, language="en") is None


def test_mark_up_in_a_runbook_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    text = "<script>x</script> [go](javascript:x) [data](data:text/html,x) [up](../secret.md) [on](other.md#do)"
    (tmp_path / "hostile.md").write_text(text)
    page = runbook(tmp_path, "hostile", language="ru")
    assert page is not None
    assert "<script" not in page
    assert re.findall(r'href="([^"]+)"', page) == ["/runbook/other#do"]
