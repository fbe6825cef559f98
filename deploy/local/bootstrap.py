"""Makes `.venv` and installs everything into it, from nothing but a Python with its standard library. Run by `make setup`.

Quick when there is nothing to do: a stamp in `.venv` keeps the digest of what was installed. Safe to run twice at once.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
STAMP = VENV / ".suite-setup"
OLDEST = (3, 11)
NAMES = ("python3.14", "python3.13", "python3.12", "python3.11", "python3", "python")
PACKAGES = ("libs/common", "services/*", "deploy/local", "deploy/sandbox")


def main() -> int:
    """Set everything up; 0 when it is, else one line on what is missing."""
    (ROOT / ".run").mkdir(exist_ok=True)
    with (ROOT / ".run" / "setup.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = digest()
        if not (STAMP.exists() and STAMP.read_text() == wanted and usable(str(VENV / "bin" / "python"))):
            install()
            STAMP.write_text(wanted)
    return subprocess.run(
        [VENV / "bin" / "python", "-m", "suite_local", "setup", *sys.argv[1:]], check=False
    ).returncode


def packages() -> "list[Path]":
    """Return our own packages' directories."""
    return [path.parent for pattern in PACKAGES for path in sorted(ROOT.glob(f"{pattern}/pyproject.toml"))]


def digest() -> str:
    """Return the digest of everything that decides what has to be installed, and where."""
    total = hashlib.sha256(str(ROOT).encode())
    for path in (ROOT / "requirements.lock", *(package / "pyproject.toml" for package in packages())):
        total.update(path.read_bytes())
    return total.hexdigest()


def install() -> None:
    """Make the environment if there is none that works, and install the locked packages and our own."""
    if not usable(str(VENV / "bin" / "python")):
        shutil.rmtree(VENV, ignore_errors=True)
        python = newest_python()
        say(f"making .venv with {python}")
        run([python, "-m", "venv", str(VENV)])
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "-qq", "--disable-pip-version-check", "install"]
    say("installing the locked packages")
    run([*pip, "--require-hashes", "-r", str(ROOT / "requirements.lock")])
    say("installing the suite's own packages")
    editable = [word for package in packages() for word in ("--editable", str(package))]
    run([*pip, "--no-deps", "--no-build-isolation", *editable])


def newest_python() -> str:
    """Return the newest interpreter that can make a virtual environment; ask Debian for the missing half if need be."""
    found = [path for name in NAMES if (path := shutil.which(name)) is not None and usable(path)]
    for path in found:
        if answers(path, "import ensurepip, venv"):
            return path
    if not found:
        sys.exit(f"error: no Python >= {OLDEST[0]}.{OLDEST[1]} found; install one")
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say("installing python3-venv")
        run(["apt-get", "install", "-y", "--no-install-recommends", "python3-venv"])
        for path in found:
            if answers(path, "import ensurepip, venv"):
                return path
    sys.exit(f"error: {found[0]} cannot make virtual environments; install its venv package (Debian: python3-venv)")


def usable(python: str) -> bool:
    """Say whether the interpreter runs (a version manager's stub may not) and is new enough."""
    return answers(python, f"import sys; sys.exit(sys.version_info < {OLDEST})")


def answers(python: str, code: str) -> bool:
    """Say whether the interpreter runs the code without an error."""
    try:
        return (
            subprocess.run([python, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode
            == 0
        )
    except OSError:
        return False


def run(command: "list[str]") -> None:
    """Run a step; its failure ends everything, with its own words above ours."""
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        sys.exit(f"error: this step of the set-up failed: {' '.join(command[:6])} …")


def say(text: str) -> None:
    """Tell the person what takes the time."""
    print(f"setup: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
