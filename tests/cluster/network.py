"""Networks of these tests' own: one for the suite, and behind a bridge one for each broker, which its link can be taken from.

Linux's network namespaces without names: they are gone when the last process in them is, however it ended, and nothing of them is seen
from outside. Each has a loopback and ports of its own.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

_OURS = "/proc/thread-self/ns/net"
_NEWNET = 0x40000000  # CLONE_NEWNET of sched.h; Python has os.unshare and os.setns from 3.12 on
_GATEWAY = "10.77.0.1"
_BRIDGE = "brokers"


class Host:
    """A network of one address, joined with the others; it lives as long as its process, and that no longer than this one."""

    def __init__(self, number: int) -> None:
        self.address = f"10.77.0.{10 + number}"
        self._link = f"broker{number}"
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", "echo made && exec sleep infinity"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "made\n", "a broker's network cannot be made"
        _ip("link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", str(self._holder.pid))
        _ip("link", "set", self._link, "master", _BRIDGE, "up")
        for arguments in (
            ("addr", "add", f"{self.address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip(*arguments, inside=self.inside)

    @property
    def inside(self) -> tuple[str, ...]:
        """The words before a command that run it there; nothing stays between it and whoever called."""
        return ("nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "--")

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Take the link down: packets to it and from it are lost, and nobody is told."""
        _ip("link", "set", self._link, "down")
        try:
            yield
        finally:
            _ip("link", "set", self._link, "up")

    def end(self) -> None:
        """Let it go; what runs there is to be ended first."""
        self._holder.kill()
        self._holder.communicate()


@contextmanager
def own_network() -> Iterator[None]:
    """Put this thread, and whatever it starts from now on, into a new network with a bridge for hosts; afterwards into the old one."""
    before = os.open(_OURS, os.O_RDONLY)
    try:
        _system_call("unshare", _NEWNET)
        try:
            _ip("link", "set", "lo", "up")
            _ip("link", "add", _BRIDGE, "type", "bridge")
            _ip("addr", "add", f"{_GATEWAY}/24", "dev", _BRIDGE)
            _ip("link", "set", _BRIDGE, "up")
            yield
        finally:
            _system_call("setns", before, _NEWNET)
    finally:
        os.close(before)


def _system_call(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise AssertionError(
            f"no network of its own can be made here ({name}: {os.strerror(number)}): run this as root"
        )


def _ip(*arguments: str, inside: tuple[str, ...] = ()) -> None:
    done = subprocess.run([*inside, "ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
