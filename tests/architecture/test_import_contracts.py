"""The import contracts hold, and each of them is seen to break in every way in which it can be violated."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS: list[dict[str, Any]] = SETTINGS["contracts"]
SOURCES = {name: next(ROOT.glob(f"*/*/src/{name}")) for name in SETTINGS["root_packages"]}
FOLDED = sorted(
    name for name, path in SOURCES.items() if (path / "app.py").is_file() and not (path / "domain").is_dir()
)


@dataclass(frozen=True, slots=True)
class Violations:
    """Imports that a contract forbids, each as importer and imported; one for every way of breaking it."""

    contract: str
    imports: list[tuple[str, str]]


def violations_of(contract: dict[str, Any]) -> Violations:
    """One import for each forbidden module; for each layer, of the one above; for layers that know nothing of each other, both."""
    imports: list[tuple[str, str]] = []
    if contract["type"] == "forbidden":
        importer = next(module for pattern in contract["source_modules"] for module in _matching(pattern))
        ignored = [_expression(pattern) for pattern in contract.get("ignore_imports", [])]
        for pattern in contract["forbidden_modules"]:
            allowed = (module for module in _matching(pattern) if not _ignored(importer, module, ignored))
            imports += [(importer, module) for module in islice(allowed, 1)]
    for container in contract.get("containers", [""]) if contract["type"] == "layers" else ():
        layers = [[_inside(container, part) for part in re.split(r"[|:]", layer)] for layer in contract["layers"]]
        imports += [(below[0], above[0]) for above, below in pairwise(layers)]
        imports += [(layer[0], layer[1]) for layer, text in zip(layers, contract["layers"], strict=True) if "|" in text]
    return Violations(contract["name"], imports)


def _inside(container: str, part: str) -> str:
    return f"{container}.{part.strip(' ()')}".removeprefix(".")


def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*\*", ".+").replace(r"\*", "[^.]+"))


def _ignored(importer: str, imported: str, patterns: list[re.Pattern[str]]) -> bool:
    return importer == imported or any(pattern.fullmatch(f"{importer} -> {imported}") for pattern in patterns)


def _matching(pattern: str) -> list[str]:
    package, *parts = pattern.split(".")
    found = sorted(SOURCES[package].glob("/".join(parts) + ".py")) if "*" in pattern else []
    return [pattern] if "*" not in pattern else [".".join((package, *_parts(path, package))) for path in found]


def _parts(path: Path, package: str) -> tuple[str, ...]:
    return path.relative_to(SOURCES[package]).with_suffix("").parts


VIOLATIONS = [violations_of(contract) for contract in CONTRACTS]
EXHAUSTIVE = [contract for contract in CONTRACTS if contract.get("exhaustive")]


class Workspace:
    """A copy of every package that the contracts speak of, with their settings."""

    def __init__(self, root: Path) -> None:
        self._root = root
        shutil.copy(ROOT / "pyproject.toml", root)
        for package, path in SOURCES.items():
            shutil.copytree(path, root / package, ignore=shutil.ignore_patterns("__pycache__"))

    @contextmanager
    def with_imports(self, imports: list[tuple[str, str]]) -> Iterator[None]:
        """Add the imports while the context lasts. A module that is not there is made, and taken away again."""
        before = {self._file(importer): "" for importer, _ in imports}
        missing = {file for file in before if not file.exists()}
        before |= {file: file.read_text() for file in before if file.exists()}
        for importer, imported in imports:
            with self._file(importer).open("a") as module:
                module.write(f"\nimport {imported}\n")
        try:
            yield
        finally:
            for file, text in before.items():
                file.write_text(text)
            for file in missing:
                file.unlink()

    def _file(self, module: str) -> Path:
        path = self._root.joinpath(*module.split("."))
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

    def check(self) -> subprocess.CompletedProcess[str]:
        """Run import-linter on nothing but this copy's sources."""
        script = (
            f"import sys; sys.path.insert(0, {str(self._root)!r}); "
            "from importlinter.cli import lint_imports_command; lint_imports_command()"
        )
        return subprocess.run(
            [sys.executable, "-c", script, "--no-cache"],
            cwd=self._root,
            env={**os.environ, "PYTHONPATH": str(self._root)},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Shared: who seeds something takes it away again."""
    return Workspace(tmp_path_factory.mktemp("workspace"))


def test_the_contracts_hold(workspace: Workspace) -> None:
    result = workspace.check()
    assert result.returncode == 0, result.stdout
    assert f"{len(CONTRACTS)} kept, 0 broken" in result.stdout


@pytest.mark.parametrize("violations", VIOLATIONS, ids=lambda violations: violations.contract)
def test_a_contract_finds_every_import_that_it_forbids(workspace: Workspace, violations: Violations) -> None:
    with workspace.with_imports(violations.imports):
        result = workspace.check()
    assert result.returncode == 1, result.stdout
    assert f"{violations.contract} BROKEN" in result.stdout
    reported = result.stdout.partition("Broken contracts")[2]
    assert [
        pair for pair in violations.imports if not re.search(r"{} .*{}\b".format(*map(re.escape, pair)), reported)
    ] == []


@pytest.mark.parametrize("contract", EXHAUSTIVE, ids=lambda contract: contract["id"])
def test_a_new_package_has_no_place_until_it_is_given_one(workspace: Workspace, contract: dict[str, Any]) -> None:
    with workspace.with_imports([(f"{contract['containers'][0]}.seeded", "json")]):
        result = workspace.check()
    assert result.returncode == 1
    assert "seeded" in result.stdout


@pytest.mark.parametrize("service", FOLDED)
def test_a_service_has_an_order_of_its_features(service: str) -> None:
    [contract] = [contract for contract in CONTRACTS if contract["id"] == f"{service.replace('_', '-')}-features"]
    assert (contract["type"], contract["containers"], contract["exhaustive"]) == ("layers", [service], True)
