"""The servers under somebody who is not root: ourselves, or the account `nobody` when we are root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from suite_local.infrastructure.accounts import drop_command, give, server_account
from suite_local.paths import RunDirectory, repository_root
from suite_local.supervision import strays

SCRIPT = """
import os, sys
from pathlib import Path
from suite_local.testing import test_servers
with test_servers(Path(sys.argv[1])) as addresses:
    print("answered", os.geteuid(), len(addresses.environment()))
"""


def test_an_ordinary_user_starts_and_stops_the_servers(own_run: RunDirectory) -> None:
    account = server_account("nobody")
    give(account, own_run.root, mode=0o755)
    # The interpreter may lie where only root can go; then the account is lent the right to read it.
    command = drop_command(
        account, must_reach=(Path(sys.executable).resolve(), repository_root(), Path(sys.executable))
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SUITE_")}

    done = subprocess.run(
        [*command, sys.executable, "-c", SCRIPT, str(own_run.root)],
        cwd=own_run.root,
        env={**environment, "HOME": str(own_run.root)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    expected = os.geteuid() if account is None else account.uid
    assert (done.stdout, done.stderr, done.returncode) == (f"answered {expected} 3\n", "", 0)
    assert strays(own_run) == []
