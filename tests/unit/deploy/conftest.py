"""What the deployment's tests read: the repository, and compose.yaml as Compose would see it with the development values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:-|:\?)(?P<rest>[^}]*))?\}")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of this checkout."""
    return Path(__file__).parents[3]


@pytest.fixture(scope="session")
def development_values(repository: Path) -> dict[str, str]:
    """`deploy/.env.example`, as Compose reads it."""
    lines = (repository / "deploy" / ".env.example").read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name: value for name, value in pairs}  # noqa: C416 - dict() would take lists for the pairs only untyped


@pytest.fixture(scope="session")
def compose(repository: Path, development_values: dict[str, str]) -> dict[str, Any]:
    """`deploy/compose.yaml` merged, with variables and the configs' files filled in. An unset `${NAME:?}` fails, as with Compose."""
    document = yaml.safe_load((repository / "deploy" / "compose.yaml").read_text())
    filled: dict[str, Any] = _fill(document, development_values)
    for config in filled["configs"].values():
        if "file" in config:
            config["content"] = (repository / "deploy" / config["file"]).read_text()
    return filled


def _fill(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _replacement(found, values), value)
    if isinstance(value, dict):
        return {key: _fill(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, values) for item in value]
    return value


def _replacement(found: re.Match[str], values: Mapping[str, str]) -> str:
    value = values.get(found["name"], "")
    if found["kind"] == ":?":
        assert value, f"{found['name']} is required by compose.yaml and not in .env.example"
    return value or (found["rest"] if found["kind"] == ":-" else "")
