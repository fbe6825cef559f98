"""Runbooks as HTML: a folder of Markdown, the other languages in folders of their own beside it."""

from __future__ import annotations

import re
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_BESIDE = re.compile(r"([A-Za-z0-9_-]+)\.md(#[\w-]*)?")
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def runbook(folder: Path, name: str, *, language: str) -> str | None:
    """Return a runbook of the folder as HTML, in the language if there is one in it; None for a name that is none.

    Mark-up in the text is shown, not obeyed. Links to other runbooks lead to their pages; other files of the repository are not linked.
    """
    if _NAME.fullmatch(name) is None:
        return None
    found = next((file for file in (folder / language / f"{name}.md", folder / f"{name}.md") if file.is_file()), None)
    if found is None:
        return None
    tokens = _MARKDOWN.parse(found.read_text(encoding="utf-8"))
    for token in tokens:
        token.children = _linked(token.children or [], folder) if token.type == "inline" else token.children
    return str(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))


def _linked(tokens: list[Token], folder: Path) -> list[Token]:
    kept: list[Token] = []
    unlinked = 0
    for token in tokens:
        if token.type == "link_open":
            href = str(token.attrGet("href") or "")
            above = href.removeprefix("../")  # from a page in another language to one that is in English only
            if beside := _BESIDE.fullmatch(above if (folder / above.partition("#")[0]).is_file() else href):
                token.attrSet("href", f"/runbook/{beside[1]}{beside[2] or ''}")
            elif not href.startswith(("https://", "http://", "#")):
                unlinked += 1
                continue
        elif token.type == "link_close" and unlinked:
            unlinked -= 1
            continue
        kept.append(token)
    return kept
