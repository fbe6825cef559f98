"""Dropping privileges: PostgreSQL refuses to run as root, and RabbitMQ should not.

As root, servers run as an account that the system already has, through util-linux's `setpriv`. A checkout may lie where only
root can go (mode 700 above it); then, and only then, the server keeps one capability: to read and traverse any directory.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from suite_local.errors import InfrastructureMissingError

READ_CAPABILITIES = ("dac_read_search", "dac_override")
"""The first is enough; containers often withhold it and leave the second."""


@dataclass(frozen=True, slots=True)
class Account:
    """The unprivileged account that a server runs as when we are root."""

    name: str
    uid: int
    gid: int


def server_account(*preferred: str) -> Account | None:
    """Return the first account that exists, `nobody` at last; None when we are not root and run as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in (*preferred, "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise InfrastructureMissingError("running as root, and there is no account to drop to: create the user 'nobody'")


def drop_command(account: Account | None, *, must_reach: Sequence[Path] = ()) -> list[str]:
    """Return the words to put before a command so that it runs as the account; none when there is none.

    `must_reach` names files and directories that the server has to read: whether it can is tried for real.
    """
    if account is None:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise InfrastructureMissingError("running as root needs the command 'setpriv' (package util-linux)")
    plain = [setpriv, f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
    # no_setuid_fixup: access(2), by which Erlang judges whether it may write, forgets the capability otherwise.
    candidates = [
        plain,
        *(
            [*plain, "--securebits=+no_setuid_fixup", f"--inh-caps=+{name}", f"--ambient-caps=+{name}"]
            for name in READ_CAPABILITIES
        ),
    ]
    for command in candidates:
        if all(_can_reach(command, path) for path in must_reach):
            return command
    unreachable = next(path for path in must_reach if not _can_reach(plain, path))
    raise InfrastructureMissingError(
        f"the account {account.name} cannot reach {unreachable}, and this machine grants no capability for it: "
        "move the checkout to a directory that others may enter, or give SUITE_POSTGRES_DSN and SUITE_AMQP_URL"
    )


def _can_reach(command: Sequence[str], path: Path) -> bool:
    # Not access(2), which asks for the real uid's rights without trying: ls opens the thing as the server will.
    done = subprocess.run(
        [*command, "--", "ls", "-d", f"{path}/." if path.is_dir() else str(path)],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def give(account: Account | None, path: Path, *, mode: int) -> None:
    """Hand one file or directory to the account (nobody else's when there is none) with the mode."""
    path.chmod(mode)
    if account is not None:
        os.chown(path, account.uid, account.gid)
