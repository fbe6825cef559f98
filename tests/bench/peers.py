"""The environment that the peers run in: locked and hashed as the suite's own, and apart from it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from suite_local.paths import repository_root

LOCK = Path(__file__).parent / "requirements-bench.lock"


def peer_python() -> str:
    """Return the interpreter of `.run/bench/venv`, made and filled when the lock file is another than it was made from."""
    home = repository_root() / ".run" / "bench" / "venv"
    python, stamp = home / "bin" / "python", home / "made-from"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        pip = [str(python), "-m", "pip", "-qq", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, "--require-hashes", "-r", str(LOCK)], check=True)
        stamp.write_text(wanted)
    return str(python)
