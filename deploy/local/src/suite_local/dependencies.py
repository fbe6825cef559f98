"""What the lock pins: a bill of materials of each image, and whether something is known against one of its packages.

Both tools are fetched when they are first asked for, and pinned here; they are no part of what the suite runs or is tested with.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from suite_local.catalogue import SANDBOX, WITH_CONSOLE
from suite_local.errors import SuiteLocalError
from suite_local.paths import RunDirectory, repository_root, run_directory

PIP_AUDIT = ("pip-audit", "2.10.1", "pip_audit")
CYCLONEDX = ("cyclonedx-bom", "7.5.0", "cyclonedx_py")
EXCEPTIONS = "requirements.exceptions.toml"
LOCK = "requirements.lock"
_FETCHED_WITHIN_S = 120
_ASKED_WITHIN_S = 180
_ASKED_EVERY_S = 24 * 3600
PACKAGES = {
    **{service.name: ("libs/common", f"services/{service.name}") for service in WITH_CONSOLE},
    SANDBOX: ("deploy/sandbox",),
}
"""Which packages of ours an image holds, the one that it is named after last."""


def sbom(run: RunDirectory) -> int:
    """Write the CycloneDX document of each image's Python packages: exactly what its build installs, with versions and hashes."""
    root, folder = repository_root(), run.root / "sbom"
    folder.mkdir(parents=True, exist_ok=True)
    environment = _with_tool(run, CYCLONEDX)
    for image, packages in PACKAGES.items():
        listed, document = folder / f"{image}.txt", folder / f"{image}.cdx.json"
        listed.write_text(packages_of(image), encoding="utf-8")
        own = str(root / packages[-1] / "pyproject.toml")
        command = (sys.executable, "-W", "ignore", "-m", CYCLONEDX[2], "requirements", "--output-reproducible")
        done = subprocess.run(
            [*command, "--pyproject", own, "--output-file", str(document), str(listed)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SuiteLocalError(f"no bill of materials for {image}: {done.stderr.strip()[-500:]}")
        print(f"{image}: {len(json.loads(document.read_text())['components'])} packages, {document}")
    return 0


def packages_of(image: str) -> str:
    """Return the part of the lock that an image's build installs, as the Dockerfile itself has it made."""
    root = repository_root()
    wanted = [f"{package}/pyproject.toml" for package in PACKAGES[image]]
    return subprocess.run(
        [sys.executable, "deploy/docker/subset.py", LOCK, *wanted], cwd=root, capture_output=True, text=True, check=True
    ).stdout


def audit(run: RunDirectory, *, today: date) -> tuple[bool, str]:
    """Say what is known against the lock's packages; False where something is that no exception names.

    Asked once a day for a lock. Where nothing can be had (no network, an index without advisories) it says so and is no failure.
    """
    root = repository_root()
    exceptions = read_exceptions((root / EXCEPTIONS).read_text(encoding="utf-8"))
    digest = hashlib.sha256((root / LOCK).read_bytes()).hexdigest()[:16]
    kept = run.root / "audit" / f"{digest}.json"
    if not kept.exists() or time.time() - kept.stat().st_mtime > _ASKED_EVERY_S:
        asked = ("--disable-pip", "--no-deps", "--progress-spinner", "off", "-f", "json", "-r", LOCK)
        try:
            done = subprocess.run(
                [sys.executable, "-m", PIP_AUDIT[2], *asked],
                cwd=root,
                env=_with_tool(run, PIP_AUDIT),
                capture_output=True,
                text=True,
                timeout=_ASKED_WITHIN_S,
                check=False,
            )
            json.loads(done.stdout)
        except (SuiteLocalError, subprocess.TimeoutExpired, ValueError) as error:
            return True, f"no data here ({type(error).__name__}): nothing was looked up"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(done.stdout, encoding="utf-8")
    return judge(json.loads(kept.read_text(encoding="utf-8")), exceptions, today=today)


def judge(report: Mapping[str, Any], exceptions: Mapping[str, Mapping[str, Any]], *, today: date) -> tuple[bool, str]:
    """Return whether pip-audit's report leaves nothing open, and what it says; an exception holds to the end of its day."""
    packages: Sequence[Mapping[str, Any]] = report["dependencies"]
    looked_at = [each for each in packages if "vulns" in each]
    excused = {name for name, each in exceptions.items() if each["until"] >= today}
    opened = [
        f"{each['name']} {each['version']}: {known['id']}, mended in {', '.join(known['fix_versions']) or 'no release'}"
        for each in looked_at
        for known in each["vulns"]
        if not excused & {known["id"], *known.get("aliases", ())}
    ]
    if opened:
        return False, "\n".join([*opened, f"take a release that mends it, or say why not in {EXCEPTIONS}"])
    if not looked_at:
        return True, f"no data here: none of {len(packages)} packages is known where advisories were asked for"
    return True, f"nothing open against {len(looked_at)} packages; {len(packages) - len(looked_at)} are not known there"


def read_exceptions(text: str) -> dict[str, Mapping[str, Any]]:
    """Return the exceptions by advisory. Raises ``SuiteLocalError`` for one without a package, a reason and a last day."""
    found: dict[str, Mapping[str, Any]] = tomllib.loads(text)
    for name, each in found.items():
        if not (each.get("package") and each.get("reason") and type(each.get("until")) is date):
            raise SuiteLocalError(f"{EXCEPTIONS}: {name} needs a package, a reason, and the day until which it holds")
    return found


def _with_tool(run: RunDirectory, tool: tuple[str, str, str]) -> dict[str, str]:
    """Return an environment in which the tool can be run as a module; it is fetched when it is not there."""
    name, version, module = tool
    folder = run.root / "tools" / f"{name}-{version}"
    if not (folder / module).is_dir():
        pip = (
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--retries",
            "1",
            "--target",
            str(folder),
            f"{name}=={version}",
        )
        try:
            done = subprocess.run(pip, capture_output=True, text=True, timeout=_FETCHED_WITHIN_S, check=False)
        except subprocess.TimeoutExpired:
            raise SuiteLocalError(f"{name} could not be fetched in time") from None
        if done.returncode != 0:
            raise SuiteLocalError(f"{name} could not be fetched: {done.stderr.strip()[-300:]}")
    return {**os.environ, "PYTHONPATH": str(folder)}


def main() -> int:
    """The audit as a step of the lint."""
    passed, said = audit(run_directory(), today=datetime.now(UTC).date())
    print(said)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
