"""What a person is told who has started the suite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from suite_local.screens import show_way_in


def test_where_the_first_token_stands_is_said_and_the_token_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "suite.json"
    said = {"services": {"console": {"url": "http://127.0.0.1:8086"}}, "tokens": {"operator": "very-secret"}}
    file.write_text(json.dumps(said), encoding="utf-8")
    show_way_in(file)
    shown = capsys.readouterr().out
    assert ("http://127.0.0.1:8086" in shown, str(file) in shown, "ordersctl" in shown) == (True, True, True)
    assert "very-secret" not in shown
