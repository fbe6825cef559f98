"""Installing the servers that no wheel brings, by the system's package manager, when we may.

Only the programs are wanted: Debian would start and enable each server that it installs, so its maintainer scripts find
stand-ins for the commands that do that. Nothing of this stays behind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from suite_local.errors import InfrastructureMissingError

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STARTERS = ("invoke-rc.d", "deb-systemd-invoke", "deb-systemd-helper")


@dataclass(frozen=True, slots=True)
class PackageManager:
    """How one package manager installs, and what it calls the packages that are not called the same everywhere."""

    command: str
    install: tuple[str, ...]
    refresh: tuple[str, ...]
    names: tuple[tuple[str, str], ...] = ()

    def name_of(self, package: str) -> str:
        """Return this system's name of a package."""
        return dict(self.names).get(package, package)


MANAGERS = (
    PackageManager(
        "apt-get",
        ("install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"),
        ("update",),
    ),
    PackageManager("dnf", ("install", "-y"), ("makecache",), (("postgresql", "postgresql-server"),)),
    PackageManager("apk", ("add",), ("update",)),
)


def find_manager() -> PackageManager | None:
    """Return the system's package manager if it is one we know."""
    return next((manager for manager in MANAGERS if shutil.which(manager.command)), None)


def permission() -> list[str] | None:
    """Return the words that make a command root's: none as root, sudo when it asks nothing; None when we may not."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is not None:
        asked = subprocess.run([sudo, "-n", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if asked.returncode == 0:
            return [sudo, "-n"]
    return None


def install(packages: Sequence[str]) -> None:
    """Install the packages; `InfrastructureMissingError` saying what to install when we may not or it fails."""
    manager, as_root = find_manager(), permission()
    names = [manager.name_of(package) for package in packages] if manager else list(packages)
    if manager is None or as_root is None:
        raise InfrastructureMissingError(
            f"not installed, and only root may install it: {' '.join(names)}"
            + (f" (run: {manager.command} {manager.install[0]} {' '.join(names)})" if manager else "")
        )
    with tempfile.TemporaryDirectory(prefix="suite-setup-") as directory:
        stand_ins = Path(directory)
        stand_ins.chmod(0o755)
        options = _debian_without_starting(stand_ins) if manager.command == "apt-get" else []
        command = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", manager.command]
        wanted = [*command, *options, *manager.install, *names]
        done = _run(wanted)
        if done.returncode != 0:  # most often its lists are old or missing
            _run([*command, *manager.refresh])
            done = _run(wanted)
    if done.returncode != 0:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-5:])
        raise InfrastructureMissingError(f"{manager.command} could not install {' '.join(names)}:\n{end}")


def _debian_without_starting(stand_ins: Path) -> list[str]:
    for name in STARTERS:
        script = stand_ins / name
        script.write_text("#!/bin/sh\nexit 0\n")
        script.chmod(0o755)
    return ["-o", f"DPkg::Path={stand_ins}:{SYSTEM_PATH}"]


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
