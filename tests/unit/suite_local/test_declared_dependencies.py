"""What `make lint` says of a package that imports what it does not declare."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from suite_local.checks import dependency_checks

_PROJECT = """
[project]
name = "suite-shop"
version = "1"
dependencies = {dependencies}
"""


@pytest.mark.parametrize(
    ("dependencies", "said"),
    [
        ('["suite-common", "aiohttp"]', "No dependency issues found"),
        ('["suite-common"]', "DEP003 'aiohttp' imported but it is a transitive dependency"),
        ('["suite-common", "aiohttp", "orjson"]', "DEP002 'orjson' defined as a dependency but not used"),
    ],
)
def test_a_package_declares_what_it_imports_and_nothing_else(tmp_path: Path, dependencies: str, said: str) -> None:
    package = tmp_path / "services/shop/src/shop"
    package.mkdir(parents=True)
    (package / "app.py").write_text("import aiohttp\nimport common.ids\n")
    (tmp_path / "services/shop/pyproject.toml").write_text(_PROJECT.format(dependencies=dependencies))
    command = dependency_checks(["services/shop/src"])["deptry shop"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert said in result.stdout + result.stderr
    assert (result.returncode == 0) == ("No dependency" in said)
