"""A newer Debian in a folder, for the RabbitMQ 4 that it has; made once, by its own means, and kept for the next run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from suite_local.infrastructure.packages import install
from suite_local.paths import locked, repository_root

_RELEASE = "trixie"
_PACKAGES = "rabbitmq-server"
# In a view of the files that is gone with the process: the system's devices, and the server's own folder where it is outside, too.
_ENTER = """
set -e
root=$1 sees=$2
shift 2
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root$sees"
mount --bind "$sees" "$root$sees"
exec chroot "$root" "$@"
"""


class Debian:
    """That folder. What is run inside is the folder's, though its path be the same outside."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def made(cls) -> Debian:
        """Return it, made if need be: as root, in a minute, of packages that are fetched."""
        folder = repository_root() / ".run" / "debian"
        folder.mkdir(parents=True, exist_ok=True)
        root = folder / _RELEASE
        with locked(folder / "lock"):
            if not root.exists():
                _make(root)
        return cls(root)

    def inside(self, argv: Sequence[str], *, sees: Path) -> tuple[str, ...]:
        """Return the command that runs there, with a folder of ours at its own path; nothing stays between it and whoever called."""
        own_view = ("unshare", "--mount", "--propagation", "private", "--")
        return (*own_view, "sh", "-c", _ENTER, "sh", str(self.root), str(sees), *argv)


def _make(root: Path) -> None:
    if shutil.which("debootstrap", path="/usr/sbin:/sbin") is None:
        install(["debootstrap"])
    being_made = root.with_suffix(".being-made")
    shutil.rmtree(being_made, ignore_errors=True)
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _RELEASE, str(being_made)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, "\n".join((done.stdout + done.stderr).splitlines()[-15:])
    being_made.rename(root)
