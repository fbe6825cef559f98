"""Runbooks as pages: every one of them, its links, and nothing that is not a runbook."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from notifier.pages import runbooks

FOLDER = Path(__file__).parents[4] / "docs" / "runbooks"


def test_every_runbook_is_a_page_whose_links_are_pages_too() -> None:
    names = {file.stem for file in FOLDER.glob("*.md")}
    assert len(names) > 50
    for name in names:
        page = runbooks.runbook(name, language="en")
        assert page is not None
        assert "<h1>" in page
        for link in re.findall(r'href="([^"]+)"', page):
            assert link.startswith(("https://", "#")) or link.split("#")[0].removeprefix("/runbook/") in names, link


@pytest.mark.parametrize("name", ["../architecture", "..%2farchitecture", "", "no-such-page", "a.md", "x/y", "\x00"])
def test_what_is_no_runbook_is_none(name: str) -> None:
    assert runbooks.runbook(name, language="en") is None


def test_mark_up_in_a_runbook_is_shown_and_not_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "<script>x</script> [go](javascript:x) [data](data:text/html,x) [up](../secret.md) [on](other.md#do)"
    (tmp_path / "hostile.md").write_text(text)
    monkeypatch.setattr(runbooks, "_FOLDER", tmp_path)
    page = runbooks.runbook("hostile", language="ru")
    assert page is not None
    assert "<script" not in page
    assert re.findall(r'href="([^"]+)"', page) == ["/runbook/other#do"]
