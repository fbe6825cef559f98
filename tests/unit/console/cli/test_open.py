"""``ordersctl open`` opens a page where a person sits before a screen, and says where it is everywhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.console.cli.conftest import Ordersctl, Services

ADDRESS = "https://console.example/o/A1"


@pytest.fixture
def opened(tmp_path: Path, services: Services, profile: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a browser of ours was given, a line for each address; there is a screen."""
    services.on("GET /orders/v1/orders/A1", {"number": "A1", "aggregate_state": "paid"})
    file, program = tmp_path / "opened", tmp_path / "browser"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$1\" >> {file}\n")
    program.chmod(0o700)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BROWSER", str(program))
    file.touch()
    return file


def said_to_a_terminal(*arguments: str) -> str:
    """Run it at a terminal of its own; returns what it wrote there."""
    ours, its = os.openpty()
    command = [sys.executable, "-m", "console.cli.app", *arguments]
    ended = subprocess.run(command, stdin=its, stdout=its, stderr=subprocess.PIPE, check=False)
    os.close(its)
    written = os.read(ours, 10_000).decode() if ended.returncode == 0 else ended.stderr.decode()
    os.close(ours)
    return written.replace("\r\n", "\n")


def test_at_a_terminal_with_a_screen_the_page_is_opened_and_named(opened: Path) -> None:
    assert said_to_a_terminal("open", "A1") == f"{ADDRESS}\n"
    assert opened.read_text() == f"{ADDRESS}\n"


def test_it_is_only_said_where_that_is_wanted_or_no_screen_is_there(
    opened: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said_to_a_terminal("open", "A1", "--print") == f"{ADDRESS}\n"
    assert "console.example/o/A1" in said_to_a_terminal("open", "A1", "-o", "json")
    command = [sys.executable, "-m", "console.cli.app", "open", "A1"]
    assert subprocess.run(command, capture_output=True, check=True, text=True).stdout == f"{ADDRESS}\n"
    if sys.platform == "linux":
        monkeypatch.delenv("BROWSER")
        assert said_to_a_terminal("open", "A1") == f"{ADDRESS}\n"
    assert opened.read_text() == ""


def test_a_number_that_several_kinds_have_opens_none_and_names_each(services: Services, ordersctl: Ordersctl) -> None:
    services.on("GET /admin/v1/workflows/5", {"id": 5, "state_name": "running", "pending": 0})
    services.on("GET /admin/v1/incidents/5", {"id": 5, "state": "open"})
    ended = ordersctl("open", "5", "--print")
    assert (ended.code, ended.out) == (1, "")
    for address in ("https://console.example/w/5", "https://console.example/i/5"):
        assert address in ended.remarks
