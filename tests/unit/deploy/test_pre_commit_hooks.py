"""The hooks of pre-commit are the project's own tools, so that nothing is fetched and versions agree with `make test`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml


def test_hooks_are_local_and_run_the_projects_own_tools(repository: Path) -> None:
    path = repository / ".pre-commit-config.yaml"
    subprocess.run([sys.executable, "-m", "pre_commit", "validate-config", str(path)], check=True)
    repositories = yaml.safe_load(path.read_text())["repos"]
    assert [entry["repo"] for entry in repositories] == ["local"]
    hooks = repositories[0]["hooks"]
    assert {hook["id"] for hook in hooks} == {"ruff", "ruff-format", "mypy", "import-linter", "interrogate"}
    assert {hook["language"] for hook in hooks} == {"system"}
    assert [hook["entry"] for hook in hooks if ".venv/bin/" not in hook["entry"]] == []
