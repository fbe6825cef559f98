"""Trouble to practise on: people read what was made, and no line of a log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from suite_local.paths import RunDirectory
from suite_local.practise import practise


@pytest.fixture
def loggers() -> Iterator[None]:
    """What the process logs to, put back afterwards."""
    before = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("loggers")
def test_what_its_broker_logs_is_no_line_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = RunDirectory(tmp_path)
    directory.suite_json.write_text(json.dumps({}))

    async def made(_suite: dict[str, Any]) -> list[str]:
        log = structlog.get_logger()
        log.info("broker_connected")
        log.warning("broker_away")
        return ["order 1"]

    monkeypatch.setattr("suite_local.practise._make", made)
    assert practise(directory) == ["order 1"]
    said = capsys.readouterr()
    assert ("broker_connected" in said.out + said.err, "broker_away" in said.out + said.err) == (False, True)
