"""Ports: asked for, else the default, else a free one; once chosen, remembered in the run directory."""

from __future__ import annotations

import json
import os
import random
import re
import socket
from collections.abc import Collection
from pathlib import Path

from suite_local.errors import AlreadyTakenError
from suite_local.paths import write_private

LOOPBACK = "127.0.0.1"
CHOICE = range(20_000, 32_000)
"""Below the ephemeral range of Linux (32768): no outgoing connection takes a port of ours while it is stopped."""
SHARE = "SUITE_PORT_SHARE"
"""Environment variable of those who choose side by side: `1/3` leaves every third port to us, beginning with the second.

A port is free until its server listens: without shares of their own, two that start at once could choose the same.
"""


def free_port(but: Collection[int] = ()) -> int:
    """Return a port of this process's share that nobody listens on now, other than those in `but`."""
    share = re.fullmatch(r"(\d+)/(\d+)", os.environ.get(SHARE, ""))
    index, count = (int(share[1]), int(share[2])) if share else (0, 1)
    ours = range(CHOICE.start + index % count, CHOICE.stop, count)
    return next(port for port in random.sample(ours, len(ours)) if port not in but and is_free(port))


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Say whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do it: a connection in TIME_WAIT does not make the port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


class PortBook:
    """The ports of one run directory, by name, kept in its state file.

    Not safe for two processes at once: the caller holds the run directory's lock.
    """

    def __init__(self, path: Path) -> None:
        """Read what an earlier start chose; a missing file is an empty book."""
        self._path = path
        self._ports: dict[str, int] = {}
        if path.exists():
            self._ports = {str(name): int(port) for name, port in json.loads(path.read_text())["ports"].items()}
        self.moved: dict[str, tuple[int, int]] = {}
        """Defaults that were taken by somebody else: name → (default, chosen)."""

    def known(self, name: str) -> int | None:
        """Return the port chosen earlier, if any, without looking whether it is free."""
        return self._ports.get(name)

    def choose(self, name: str, *, default: int | None = None, asked: int | None = None) -> int:
        """Return a port that is free now and write it down.

        Order: the one asked for (an error when it is taken), the default, the one remembered, any free one.
        """
        if asked is not None:
            if not is_free(asked):
                raise AlreadyTakenError(f"port {asked} was asked for {name}, but something else listens on it")
            return self._keep(name, asked)
        taken = set(self._ports.values()) - {self._ports.get(name)}
        remembered = self._ports.get(name)
        for candidate in (default, remembered):
            if candidate is not None and candidate not in taken and is_free(candidate):
                if default is not None and candidate != default:
                    self.moved[name] = (default, candidate)
                return self._keep(name, candidate)
        chosen = free_port(taken)
        if default is not None:
            self.moved[name] = (default, chosen)
        return self._keep(name, chosen)

    def _keep(self, name: str, port: int) -> int:
        if self._ports.get(name) != port:
            self._ports[name] = port
            write_private(self._path, json.dumps({"ports": self._ports}, indent=2, sort_keys=True))
        return port
