"""What `make test`, `lint`, `format`, `lock` and `chaos` run: well-kept tools, one after the other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from suite_local import memory
from suite_local.paths import RunDirectory, repository_root
from suite_local.testing import DATA, test_servers

SOURCES = ("libs", "services", "deploy", "tests")
AUDIT = "pip-audit"
WORKERS = 4
"""Test processes: twice the cores that the suite is measured on, because tests wait for servers a third of their time and more."""


def lint() -> bool:
    """Run every static check, each to its end, and show what those that fail have to say; True when all pass."""
    return _report(_start_checks())


def _start_checks() -> dict[str, subprocess.Popen[bytes]]:
    root = repository_root()
    packages = sorted(
        str(path.relative_to(root))
        for pattern in ("libs/*/src", "services/*/src", "deploy/*/src")
        for path in root.glob(pattern)
    )
    steps: dict[str, list[str]] = {
        "ruff check": [_tool("ruff"), "check", "--quiet", "."],
        "ruff format": [_tool("ruff"), "format", "--check", "--quiet", "."],
        "mypy": [_tool("mypy"), *packages, *(["tests"] if (root / "tests").exists() else [])],
        "lint-imports": [_tool("lint-imports"), "--no-cache"],
        "interrogate": [_tool("interrogate"), "--config", "pyproject.toml", "--quiet", *packages],
        AUDIT: [sys.executable, "-m", "suite_local.dependencies"],
        **dependency_checks(packages),
    }
    return {name: _start(command) for name, command in steps.items()}


def dependency_checks(packages: Sequence[str]) -> dict[str, list[str]]:
    """Return how deptry is asked of each package, and of the tests: whether each import is declared, and each declaration used."""
    command = [_tool("deptry"), "--no-ansi", "--package-module-name-map", "suite-common=common"]
    own = {Path(source).parts[1]: [source, "--config", f"{Path(source).parent}/pyproject.toml"] for source in packages}
    asked = {**own, "tests": ["tests", "--config", "pyproject.toml"]}
    return {f"deptry {name}": [*command, *arguments] for name, arguments in asked.items()}


def _report(running: Mapping[str, subprocess.Popen[bytes]]) -> bool:
    passed = True
    for name, process in running.items():
        output, _ = process.communicate()
        good = process.returncode == 0
        passed = passed and good
        print(f"{name}: {'passed' if good else 'FAILED'}", flush=True)
        if not good or name == AUDIT:  # which passes, too, where nothing could be asked
            print(output.decode(errors="replace"), flush=True)
    return passed


def format_code() -> int:
    """Let ruff put the code into its usual shape and mend what it safely can."""
    mended = subprocess.run(
        [_tool("ruff"), "check", "--fix", "--quiet", "."], cwd=repository_root(), check=False
    ).returncode
    return subprocess.run([_tool("ruff"), "format", "."], cwd=repository_root(), check=False).returncode or mended


def lock() -> int:
    """Pin and hash every dependency for every platform, the benchmarks' peers apart; no address that a package came from is kept."""
    root = repository_root()
    uv = root / ".run" / "uv"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", str(uv), "uv"]
    subprocess.run(pip, cwd=root, check=True)
    worst = 0
    for name in ("requirements", "tests/bench/requirements-bench"):
        command = [
            *(str(uv / "bin" / "uv"), "pip", "compile", "--universal", "--python-version", "3.11"),
            *("--generate-hashes", "--no-emit-index-url", "--no-header", "--quiet"),
            *("--output-file", f"{name}.lock", f"{name}.in"),
        ]
        worst = worst or subprocess.run(command, cwd=root, check=False).returncode
    return worst


def test() -> int:
    """Run the static checks, then every test but the fault tests on servers of this run's own; return pytest's exit code."""
    # The servers start meanwhile: that is waiting for the most part.
    checks = _start_checks()
    # A file stays in one process, for the servers and suites that its tests share. The longest go first (tests/conftest.py), or one
    # process would still be busy with them when the others have long ended; xdist's own guess (files with many tests first) is the
    # wrong one.
    spread = ("-n", str(WORKERS), "--dist", "loadfile", "--no-loadscope-reorder")
    arguments = (*spread, "-m", "not chaos and not cluster", *test_directories(repository_root() / "tests"))
    return _pytest(*arguments, first=lambda: _report(checks))


def test_directories(tests: Path) -> list[str]:
    """Return the folders of tests, those first whose tests take longest."""
    first = ("e2e", "integration/suite_local", "integration")
    found = {"/".join(path.relative_to(tests).parent.parts[:2]) for path in tests.rglob("test_*.py")}
    folders = sorted(folder for folder in found if folder != "bench")

    def rank(folder: str) -> int:
        return next((place for place, prefix in enumerate(first) if folder.startswith(prefix)), len(first))

    return [str(tests / folder) for folder in sorted(folders, key=rank)]


def chaos() -> int:
    """Run the fault tests on servers of this run's own, one at a time: each wants the machine for itself; show what each did."""
    # xdist stays loaded, without workers: other tests that are collected here carry its marks.
    return _pytest("-m", "chaos", "-n", "0", "-v", "-s")


def cluster() -> int:
    """Run the proofs on three brokers and a pair of databases, each fault in turn, with this machine's RabbitMQ and with the next one.

    ``CLUSTER_RABBITMQ`` (``installed``, ``4``) chooses one of the two. What each fault did is shown, and told in ``.run/cluster``.
    """
    chosen = os.environ.get("CLUSTER_RABBITMQ")
    codes = []
    for which in [chosen] if chosen else ["installed", "4"]:
        os.environ["CLUSTER_RABBITMQ"] = which
        codes.append(_pytest("-m", "cluster", "-n", "0", "-v", "-s"))
    return max(codes)


def _pytest(*arguments: str, first: Callable[[], bool] = lambda: True) -> int:
    """Run pytest on servers of its own, once they are up and `first` says yes; return its exit code, or 1."""
    with own_servers() as environment:
        if not first():
            return 1
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(
            command, cwd=repository_root(), env=environment, stdin=subprocess.DEVNULL, check=False
        ).returncode


@contextmanager
def own_servers(*, durable: bool = False) -> Iterator[dict[str, str]]:
    """Give an environment that names fresh servers of this run's own; a directory left by a run that died is removed.

    `durable`: PostgreSQL syncs, as in production (RabbitMQ's quorum queues always do).
    """
    home = repository_root() / ".run" / "test"
    home.mkdir(parents=True, exist_ok=True)
    for old in home.glob("run-*"):
        if not psutil.pid_exists(int(old.name.removeprefix("run-"))):
            memory.forget(RunDirectory(old), DATA)
            shutil.rmtree(old, ignore_errors=True)
    directory = home / f"run-{os.getpid()}"
    with test_servers(directory, durable=durable) as addresses:
        print("test servers: PostgreSQL and RabbitMQ are ready", flush=True)
        yield {**os.environ, **addresses.environment()}
    shutil.rmtree(directory, ignore_errors=True)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, cwd=repository_root(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def _tool(name: str) -> str:
    return str(Path(sys.executable).parent / name)
