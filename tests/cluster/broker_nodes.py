"""Three RabbitMQ nodes that are one cluster, each in a network of its own: each can be killed, frozen and cut off from everybody."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from suite_local.infrastructure.accounts import give, server_account
from suite_local.infrastructure.rabbitmq import USER, VHOST, LocalRabbitmq, call_api
from suite_local.programs import Program, ProgramProcess
from tests.cluster.debian import Debian
from tests.cluster.network import Host

NODES = 3
_PORTS = {"port": 5672, "api_port": 15672, "dist_port": 25672, "epmd_port": 4369}
_UNNOTICED_S = 10
"""Within a quarter more than this nodes believe that another is gone; RabbitMQ's own minute would make every trial take minutes."""


_MENDS_ITSELF_S = 20


class Node(LocalRabbitmq):
    """One of the nodes, at its host's address; out of a Debian of its own, where one is given."""

    def __init__(
        self, host: Host, *, directory: Path, password: str, settings: Mapping[str, str | int], debian: Debian | None
    ) -> None:
        self._host, self._debian = host, debian
        everywhere = {"listeners.tcp.1": f"{host.address}:{_PORTS['port']}", "management.tcp.ip": host.address}
        super().__init__(
            directory=directory,
            password=password,
            logs=directory / "logs",
            name=f"rabbit@{host.address}",
            settings={**everywhere, **settings},
            **_PORTS,
        )

    @property
    def url(self) -> str:
        """The AMQP address."""
        return f"amqp://{USER}:{quote(self._password, safe='')}@{self._host.address}:{self.port}/{VHOST}"

    @property
    def api_url(self) -> str:
        """The management API's address, with its credentials."""
        return f"http://{USER}:{quote(self._password, safe='')}@{self._host.address}:{self.api_port}"

    def programs(self) -> tuple[Program, Program]:
        """Return the port mapper and the node as they run on their host."""
        mapper, node = super().programs()
        return self._there(mapper), self._there(node)

    def be_one_of(self, cookie: str) -> None:
        """Know the word by which the cluster's nodes believe one another."""
        path = self.directory / "home" / ".erlang.cookie"
        path.write_text(cookie)
        give(server_account("rabbitmq", "postgres"), path, mode=0o400)

    def troubles(self, cluster: set[str]) -> str:
        """What this node knows against the cluster being whole; empty when all run and each queue is complete."""
        try:
            known = json.loads(call_api(self.api_url, "GET", "/api/nodes"))
            queues = json.loads(call_api(self.api_url, "GET", "/api/queues"))
        except OSError as error:
            return f"{self.name}: {error!r}"
        running = {node["name"] for node in known if node["running"] and not node.get("partitions")}
        # Not RabbitMQ's own check of what a queue could do without: the 4 counts an idle queue's follower out until the next message.
        lacking = [queue["name"] for queue in queues if set(queue.get("online", ())) != cluster]
        if running != cluster:
            return f"{self.name} knows {known}"
        return f"{self.name}: queues that lack a node: {lacking}" if lacking else ""

    def parted_from(self) -> int:
        """From how many others it is parted for good, as far as it knows."""
        try:
            known = json.loads(call_api(self.api_url, "GET", "/api/nodes"))
        except OSError:
            return 0
        return sum(len(node.get("partitions") or ()) for node in known if node["name"] == self.name)

    def version(self) -> str:
        """Which RabbitMQ it is."""
        overview: dict[str, Any] = json.loads(call_api(self.api_url, "GET", "/api/overview"))
        return str(overview["rabbitmq_version"])

    def _environment(self) -> dict[str, str]:
        address = self._host.address
        options = f"-kernel inet_dist_use_interface {{{address.replace('.', ',')}}} -kernel net_ticktime {_UNNOTICED_S}"
        return {
            **super()._environment(),
            "RABBITMQ_USE_LONGNAME": "true",  # only such a name may hold an address
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": options,
            "ERL_EPMD_ADDRESS": address,
        }

    def _there(self, program: Program) -> Program:
        argv: Sequence[str] = program.argv
        if program.name == "epmd":
            argv = [*argv[:-1], self._host.address]
        if self._debian is not None:
            argv = self._debian.inside(argv, sees=self.directory)
        return replace(program, argv=(*self._host.inside, *argv))


class BrokerNodes:
    """The cluster: ``url`` names all three nodes."""

    def __init__(self, directory: Path, *, debian: Debian | None = None) -> None:
        password, cookie = secrets.token_urlsafe(12), secrets.token_hex(16)
        self._hosts = [Host(number) for number in range(1, NODES + 1)]
        names = [f"rabbit@{host.address}" for host in self._hosts]
        formation: dict[str, str | int] = {
            "cluster_formation.peer_discovery_backend": "classic_config",
            **{f"cluster_formation.classic_config.nodes.{number}": name for number, name in enumerate(names, start=1)},
            "cluster_partition_handling": "pause_minority",
        }
        self._nodes = [
            Node(
                host,
                directory=directory / f"node-{number}",
                password=password,
                settings=formation,
                debian=debian,
            )
            for number, host in enumerate(self._hosts, start=1)
        ]
        for node in self._nodes:
            node.prepare()
            node.be_one_of(cookie)
        processes = [
            [ProgramProcess(program, logs=node.directory / "logs") for program in node.programs()]
            for node in self._nodes
        ]
        self._mappers = [mapper for mapper, _ in processes]
        self._running = [node for _, node in processes]

    @property
    def url(self) -> str:
        """The AMQP address of all nodes."""
        account, _, where = self._nodes[0].url.rpartition("@")
        hosts = ",".join(f"{host.address}:{_PORTS['port']}" for host in self._hosts)
        return f"{account}@{hosts}/{where.partition('/')[2]}"

    @property
    def api_url(self) -> str:
        """One node's management API, with an administrator's credentials."""
        return self._nodes[0].api_url

    @property
    def version(self) -> str:
        """Which RabbitMQ they are."""
        return self._nodes[0].version()

    def start(self) -> None:
        """Start all nodes at once, for the first of RabbitMQ 4 looks for the others; returns when all are one cluster."""
        for process in (*self._mappers, *self._running):
            process.start()
        for node in self._nodes:
            node.wait_ready(120)
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
        for process in (*self._running, *self._mappers):
            process.kill()
        for host in self._hosts:
            host.end()

    @contextmanager
    def frozen(self, number: int) -> Iterator[None]:
        """Stop a node where it stands: its connections stay open, nothing is answered."""
        process = psutil.Process(self._running[number].pid)
        process.suspend()
        try:
            yield
        finally:
            process.resume()

    def cut_off(self, number: int) -> AbstractContextManager[None]:
        """Take a node's network away: neither the others nor clients reach it, and nobody's connection ends."""
        return self._hosts[number].cut_off()

    def whole(self) -> list[int]:
        """Return when each node sees all of them run, and no queue lacks one. A failure shows what is seen.

        A node that hung may stay apart for good, though its queues do not: RabbitMQ's makers know that. As an operator does, it is begun
        anew; the numbers of such nodes are returned.
        """
        start, begun_anew = time.monotonic(), list[int]()
        everybody = {node.name for node in self._nodes}
        patient_until = start + _MENDS_ITSELF_S
        while troubles := next(filter(None, (node.troubles(everybody) for node in self._nodes)), ""):
            assert time.monotonic() < start + 150, troubles
            if time.monotonic() > patient_until:
                apart, number = max((node.parted_from(), number) for number, node in enumerate(self._nodes))
                if apart:
                    self.stop(number)
                    self.begin(number)
                    begun_anew.append(number)
                patient_until = time.monotonic() + _MENDS_ITSELF_S
            time.sleep(0.5)
        return begun_anew
