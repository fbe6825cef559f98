"""Three RabbitMQ nodes that are one cluster, on this machine: each can be killed, frozen and cut off from the others."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from suite_local.infrastructure.accounts import give, server_account
from suite_local.infrastructure.rabbitmq import USER, VHOST, LocalRabbitmq
from suite_local.ports import LOOPBACK, free_port
from suite_local.programs import Program, ProgramProcess

NAMES = ("one@localhost", "two@localhost", "three@localhost")
_OTHERS_THAT_RUN = "length([Node || Node <- nodes(), rpc:call(Node, rabbit, is_running, []) =:= true])."
_FORMATION = {
    "cluster_formation.peer_discovery_backend": "classic_config",
    **{f"cluster_formation.classic_config.nodes.{number}": name for number, name in enumerate(NAMES, start=1)},
    "cluster_partition_handling": "pause_minority",
}


class Node(LocalRabbitmq):
    """One of the nodes. The port mapper is not its own: all of a cluster are found through one."""

    def node(self) -> Program:
        """Return the node without the port mapper."""
        return super().programs()[1]

    def be_one_of(self, cookie: str) -> None:
        """Know the word by which the cluster's nodes believe one another."""
        path = self.directory / "home" / ".erlang.cookie"
        path.write_text(cookie)
        give(server_account("rabbitmq", "postgres"), path, mode=0o400)


class BrokerNodes:
    """The cluster: ``url`` names all three nodes."""

    def __init__(self, directory: Path) -> None:
        taken: list[int] = []
        for _ in range(3 * len(NAMES) + 1):
            taken.append(free_port(taken))
        self._password, cookie, mapper = secrets.token_urlsafe(12), secrets.token_hex(16), taken.pop()
        self._nodes = [
            Node(
                directory=directory / name.partition("@")[0],
                port=taken.pop(),
                api_port=taken.pop(),
                dist_port=taken.pop(),
                epmd_port=mapper,
                password=self._password,
                logs=directory / "logs" / name.partition("@")[0],
                name=name,
                settings=_FORMATION,
            )
            for name in NAMES
        ]
        for node in self._nodes:
            node.prepare()
            node.be_one_of(cookie)
        self._mapper = ProgramProcess(self._nodes[0].programs()[0], logs=directory / "logs")
        self._running = [
            ProgramProcess(node.node(), logs=directory / "logs" / node.name.partition("@")[0]) for node in self._nodes
        ]

    @property
    def url(self) -> str:
        """The AMQP address of all nodes."""
        hosts = ",".join(f"{LOOPBACK}:{node.port}" for node in self._nodes)
        return f"amqp://{USER}:{self._password}@{hosts}/{VHOST}"

    def start(self) -> None:
        """Start the port mapper and one node after the other; returns when all are one cluster."""
        self._mapper.start()
        for number in range(len(NAMES)):
            self.begin(number)
        self.whole()

    def begin(self, number: int) -> None:
        """Start a node; returns when clients are answered."""
        self._running[number].start()
        self._nodes[number].wait_ready(90)

    def stop(self, number: int) -> None:
        """Stop a node in order."""
        self._running[number].stop()

    def kill(self, number: int) -> None:
        """Kill a node as a crash would."""
        self._running[number].kill()

    def end(self) -> None:
        """Kill everything."""
        for process in (*self._running, self._mapper):
            process.kill()

    @contextmanager
    def frozen(self, number: int) -> Iterator[None]:
        """Stop a node where it stands: its connections stay open, nothing is answered."""
        process = psutil.Process(self._running[number].pid)
        process.suspend()
        try:
            yield
        finally:
            process.resume()

    @contextmanager
    def cut_off(self, number: int) -> Iterator[None]:
        """Let a node and the others not believe one another any more: a partition between nodes, while clients still reach each."""
        others = [name for place, name in enumerate(NAMES) if place != number]
        cut = "".join(f"erlang:set_cookie('{name}', wrong), erlang:disconnect_node('{name}')," for name in others)
        self.control(number, "eval", f"{cut} ok.")
        try:
            yield
        finally:
            right = "".join(f"erlang:set_cookie('{name}', erlang:get_cookie())," for name in others)
            self.control(number, "eval", f"{right} ok.")

    def whole(self) -> None:
        """Return when each node sees all of them run. A failure shows what it sees."""
        deadline = time.monotonic() + 90
        for number in range(len(NAMES)):
            while True:
                seen = self.control(number, "eval", _OTHERS_THAT_RUN, check=False)
                if seen == str(len(NAMES) - 1):
                    break
                assert time.monotonic() < deadline, seen
                time.sleep(0.5)

    def control(self, number: int, *arguments: str, check: bool = True) -> str:
        """Command a node; returns what was printed last."""
        program = self._nodes[number].node()
        tool = Path(next(part for part in program.argv if part.endswith("rabbitmq-server"))).with_name("rabbitmqctl")
        done = subprocess.run(
            [str(tool), "-q", *arguments],
            env={**os.environ, **program.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return (done.stdout.strip().splitlines() or [""])[-1]
