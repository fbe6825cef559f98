"""What the lint says of advisories against the lock's packages, and what a bill of materials is made of."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from suite_local import dependencies
from suite_local.catalogue import SANDBOX, WITH_CONSOLE
from suite_local.dependencies import PACKAGES, audit, judge, packages_of, read_exceptions
from suite_local.errors import SuiteLocalError
from suite_local.paths import RunDirectory, repository_root

ROOT = repository_root()
TODAY = date(2026, 11, 30)
KNOWN = {"id": "PYSEC-2026-1", "aliases": ["GHSA-aaaa-bbbb-cccc"], "fix_versions": ["1.2.4"], "description": "…"}
SOUND = {"name": "yarl", "version": "1.25.1", "vulns": []}
UNKNOWN = {"name": "orjson", "skip_reason": "Dependency not found on PyPI and could not be audited"}


def report(*packages: dict[str, Any]) -> dict[str, Any]:
    """What pip-audit prints."""
    return {"dependencies": list(packages), "fixes": []}


def excused(name: str, until: str = "2026-11-30") -> dict[str, Any]:
    """The exceptions of a file that names one."""
    return dict(read_exceptions(f'["{name}"]\npackage = "shop"\nreason = "never called"\nuntil = {until}\n'))


def test_something_known_fails_with_its_id_and_what_mends_it() -> None:
    passed, said = judge(report(SOUND, {"name": "shop", "version": "1.2.3", "vulns": [KNOWN]}), {}, today=TODAY)
    assert not passed
    assert said.startswith("shop 1.2.3: PYSEC-2026-1, mended in 1.2.4\n")


@pytest.mark.parametrize(
    ("name", "until", "passes"),
    [
        ("PYSEC-2026-1", "2026-11-30", True),
        ("GHSA-aaaa-bbbb-cccc", "2027-01-01", True),
        ("PYSEC-2026-1", "2026-11-29", False),
        ("PYSEC-2026-2", "2027-01-01", False),
    ],
)
def test_an_exception_holds_for_its_own_advisory_until_its_day_ends(name: str, until: str, passes: bool) -> None:
    found = report({"name": "shop", "version": "1.2.3", "vulns": [KNOWN]})
    assert judge(found, excused(name, until), today=TODAY)[0] == passes


def test_where_nothing_is_known_of_any_package_it_says_so_and_passes() -> None:
    assert judge(report(UNKNOWN, UNKNOWN), {}, today=TODAY) == (
        True,
        "no data here: none of 2 packages is known where advisories were asked for",
    )
    assert judge(report(UNKNOWN, SOUND), {}, today=TODAY) == (
        True,
        "nothing open against 1 packages; 1 are not known there",
    )


@pytest.mark.parametrize("lacks", ["package", "reason", "until"])
def test_an_exception_without_package_reason_or_day_is_refused(lacks: str) -> None:
    lines = {"package": 'package = "shop"', "reason": 'reason = "never called"', "until": "until = 2026-12-01"}
    text = "\n".join(['["PYSEC-2026-1"]', *(line for name, line in lines.items() if name != lacks)])
    with pytest.raises(SuiteLocalError, match="PYSEC-2026-1 needs a package, a reason"):
        read_exceptions(text)


def test_the_exceptions_that_are_kept_are_well_formed() -> None:
    text = (ROOT / dependencies.EXCEPTIONS).read_text(encoding="utf-8")
    read_exceptions(text)
    read_exceptions("\n".join(line.removeprefix("# ") for line in text.splitlines() if re.match(r"# (\[|\w+ =)", line)))


@pytest.mark.parametrize("tool", ["missing", "cut off"])
def test_a_tool_that_cannot_be_had_or_does_not_answer_is_no_failure(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        failed = tool == "missing" and "pip" in command
        return subprocess.CompletedProcess(command, 1 if failed else 0, '{"dependen', "no network")

    monkeypatch.setattr(subprocess, "run", without)
    passed, said = audit(RunDirectory(tmp_path), today=TODAY)
    assert passed
    assert said.startswith("no data here")


def test_a_lock_is_asked_about_once_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answers(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command[2])
        return subprocess.CompletedProcess(command, 0, json.dumps(report(SOUND)), "")

    monkeypatch.setattr(subprocess, "run", answers)
    said = [audit(RunDirectory(tmp_path), today=TODAY) for _ in range(2)]
    assert said == [(True, "nothing open against 1 packages; 0 are not known there")] * 2
    assert asked.count("pip_audit") == 1


@pytest.mark.parametrize("image", PACKAGES)
def test_a_bill_of_materials_is_made_of_what_the_images_build_installs(image: str) -> None:
    names = re.findall(r"(?m)^([\w.-]+)(?:\[[^\]]*\])?==", packages_of(image))
    dockerfile = (ROOT / "deploy/docker/Dockerfile").read_text()
    [usual] = re.findall(r'ARG PACKAGES="(.+)"', dockerfile)
    wanted = usual.replace("${SERVICE}", image) if image != SANDBOX else "deploy/sandbox"
    projects = [f"{package}/pyproject.toml" for package in wanted.split()]
    subset = (sys.executable, "deploy/docker/subset.py", "requirements.lock", *projects)
    built = subprocess.run(subset, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert packages_of(image) == built
    assert "aiohttp" in names
    assert set(PACKAGES) == {SANDBOX, *(service.name for service in WITH_CONSOLE)}


def test_images_of_others_are_pinned_to_a_release_and_digests_have_their_form() -> None:
    deploy = ROOT / "deploy"
    found = re.findall(
        r"(?m)^\s*(?:ARG \w+_IMAGE=|image: )(?:\$\{\w+:-)?([^\s}]+)", (deploy / "compose.yaml").read_text()
    )
    found += re.findall(r"(?m)^ARG \w+_IMAGE=(\S+)", (deploy / "docker" / "Dockerfile").read_text())
    of_others = [name for name in found if "order-suite" not in name and not name.startswith(("*", "&"))]
    assert len(of_others) >= 8
    form = re.compile(r"[a-z0-9][a-z0-9./-]*:(?!latest\b)[\w.-]+(@sha256:[0-9a-f]{64})?")
    assert [name for name in of_others if not form.fullmatch(name)] == []
