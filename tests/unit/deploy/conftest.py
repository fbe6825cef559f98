"""What the deployment's tests read: the repository, and compose.yaml as Compose would see it with the development values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from suite_local import shipped


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of this checkout."""
    return Path(__file__).parents[3]


@pytest.fixture(scope="session")
def development_values() -> dict[str, str]:
    """`deploy/.env.example`, as Compose reads it."""
    return shipped.example_values()


@pytest.fixture(scope="session")
def compose(development_values: dict[str, str]) -> dict[str, Any]:
    """`deploy/compose.yaml` as Compose sees it."""
    return shipped.compose_file(development_values)
