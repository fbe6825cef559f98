"""The import contracts hold, and each of them is seen to break when it is violated."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]

# One violation for each contract: the file that gets a line, the line, and what the checker must say.
VIOLATIONS = {
    "services never import each other": (
        "services/notifier/src/notifier/domain/seeded.py",
        "import tips",
        "services never import each other, only common",
    ),
    "common does not know the services": (
        "libs/common/src/common/ids.py",
        "import orchestrator",
        "services never import each other, only common",
    ),
    "the domain does not reach outwards": (
        "services/refunds/src/refunds/domain/seeded.py",
        "from refunds.application import ports",
        "inside a service, imports point inwards",
    ),
    "the domain knows no framework": (
        "services/tips/src/tips/domain/seeded.py",
        "import asyncpg",
        "the domain knows no framework, no database, no broker",
    ),
    "use cases reach the world through ports, also by a detour": (
        "services/webhook-gateway/src/webhook_gateway/application/seeded.py",
        "from common.postgres import Database",
        "use cases reach the world through ports",
    ),
    "the features of the orchestrator import downwards only": (
        "services/orchestrator/src/orchestrator/timeline/seeded.py",
        "from orchestrator.refunds import follow",
        "orchestrator: features import downwards only",
    ),
    "the rules of the orchestrator know no framework": (
        "services/orchestrator/src/orchestrator/orders/fold.py",
        "from common.postgres import Database",
        "the rules of the orchestrator know no framework, no database, no broker",
    ),
    "the orchestrator's stores know no routes": (
        "services/orchestrator/src/orchestrator/documents/store.py",
        "from orchestrator.documents import routes",
        "orchestrator: stores and clients know no routes",
    ),
    "the orchestrator's routes use their own store": (
        "services/orchestrator/src/orchestrator/refunds/routes.py",
        "from orchestrator.tips import store",
        "orchestrator: routes use no other feature's store",
    ),
    "common has layers": (
        "libs/common/src/common/money.py",
        "from common.messaging import outbox",
        "common's own layers",
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of every package that the contracts speak of, with their settings."""
    target = tmp_path_factory.mktemp("workspace")
    shutil.copy(ROOT / "pyproject.toml", target)
    for source in [*sorted(ROOT.glob("services/*/src")), ROOT / "libs/common/src"]:
        shutil.copytree(source, target / source.relative_to(ROOT), ignore=shutil.ignore_patterns("__pycache__"))
    return target


def check(workspace: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on a workspace, on nothing but its own sources."""
    sources = [str(path) for path in [*sorted(workspace.glob("services/*/src")), workspace / "libs/common/src"]]
    script = f"import sys; sys.path[:0] = {sources!r}; from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", script, "--no-cache"],
        cwd=workspace,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sources)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_the_contracts_hold(copy: Path) -> None:
    """The tree as it is keeps all of them."""
    result = check(copy)
    assert result.returncode == 0, result.stdout
    assert f"{len(CONTRACTS)} kept, 0 broken" in result.stdout


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_a_violation_breaks_the_contract(copy: Path, violation: str) -> None:
    """A seeded import is found, and the broken contract is the one that forbids it."""
    path, line, contract = VIOLATIONS[violation]
    file = copy / path
    before = file.read_text() if file.exists() else None
    file.write_text((before or '"""Seeded by a test."""\n') + f"\n{line}\n")
    try:
        result = check(copy)
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before)
    assert result.returncode == 1, result.stdout
    assert f"{contract} BROKEN" in result.stdout
