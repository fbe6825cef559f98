"""A RabbitMQ node of our own: private configuration, private epmd, loopback only, two foreground programs.

Nothing of the system's own instance is read or written: configuration, data, logs, Erlang cookie, distribution port and epmd
are all this node's. The management plugin is on (it costs 0.4 s of a start of 4.4 s): tests make their virtual hosts through it.
"""

from __future__ import annotations

import base64
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

from common.addresses import each_host
from suite_local.errors import InfrastructureMissingError, NotReadyError
from suite_local.infrastructure.accounts import drop_command, give, server_account
from suite_local.ports import LOOPBACK
from suite_local.programs import Program, ProgramProcess, last_lines

USER = "suite"
VHOST = "suite"
NODE = "suite@localhost"
SERVER_SCRIPTS = (
    # Before the search path: Debian's /usr/sbin wrapper refuses everybody but root and rabbitmq, and logs into the system's files.
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/usr/lib64/rabbitmq/bin/rabbitmq-server",
    "/usr/lib/rabbitmq/sbin/rabbitmq-server",
    "/opt/homebrew/sbin/rabbitmq-server",
    "/usr/local/sbin/rabbitmq-server",
)


def find_server_script() -> Path | None:
    """Return the `rabbitmq-server` script that runs the node in the foreground as whoever calls it, or None."""
    for name in SERVER_SCRIPTS:
        if Path(name).exists():
            return Path(name)
    found = shutil.which("rabbitmq-server")
    return Path(found) if found else None


def find_epmd() -> Path | None:
    """Return Erlang's port mapper, or None."""
    found = shutil.which("epmd")
    if found is not None:
        return Path(found)
    candidates = [*Path("/usr/lib/erlang").glob("erts-*/bin/epmd"), *Path("/usr/lib64/erlang").glob("erts-*/bin/epmd")]
    return candidates[-1] if candidates else None


FRESH_FIGURES: Mapping[str, str | int] = {"collect_statistics_interval": 2000}
"""Settings of a node whose management API somebody waits for. Every connection and channel pays for it, also where nothing happens."""


class LocalRabbitmq:
    """One node in one directory. Start it here (tests), or hand `programs()` to the process manager."""

    def __init__(
        self,
        *,
        directory: Path,
        port: int,
        api_port: int,
        dist_port: int,
        epmd_port: int,
        password: str,
        logs: Path,
        name: str = NODE,
        settings: Mapping[str, str | int] | None = None,
    ) -> None:
        """Describe it; `prepare` writes its files. `settings` are the node's own, beside ours or in their place."""
        self.directory = directory
        self.port = port
        self.api_port = api_port
        self._dist_port = dist_port
        self._epmd_port = epmd_port
        self._password = password
        self._logs = logs
        self.name = name
        self._more = dict(settings or {})
        script, epmd = find_server_script(), find_epmd()
        if script is None or epmd is None:
            raise InfrastructureMissingError(
                "no RabbitMQ: run `make setup` as root, or install the system's package "
                "(Debian, Fedora, Alpine: rabbitmq-server), or give SUITE_AMQP_URL"
            )
        self._script, self._epmd = script, epmd
        self._processes: list[ProgramProcess] = []

    @property
    def url(self) -> str:
        """The AMQP address, with the virtual host `suite`."""
        return f"amqp://{USER}:{quote(self._password, safe='')}@{LOOPBACK}:{self.port}/{VHOST}"

    @property
    def api_url(self) -> str:
        """The management API's address, with its credentials."""
        return f"http://{USER}:{quote(self._password, safe='')}@{LOOPBACK}:{self.api_port}"

    def prepare(self) -> None:
        """Write the node's configuration; needs no running node."""
        account = server_account("rabbitmq", "postgres")
        for directory in (self.directory, self.directory / "home", self.directory / "data", self.directory / "log"):
            directory.mkdir(parents=True, exist_ok=True)
            give(account, directory, mode=0o700)
        for name, text in (
            ("rabbitmq.conf", self._configuration()),
            ("plugins", "[rabbitmq_management].\n"),
            ("env.conf", ""),
        ):
            path = self.directory / name
            path.write_text(text)
            give(account, path, mode=0o600)

    def programs(self) -> tuple[Program, Program]:
        """Return epmd and the node. The script replaces itself by the Erlang machine, so the pid is beam's."""
        account = server_account("rabbitmq", "postgres")
        as_account = drop_command(account, must_reach=(self._script, self.directory))
        return (
            Program(
                name="epmd",
                argv=(*as_account, str(self._epmd), "-port", str(self._epmd_port), "-address", LOOPBACK),
                directory=self.directory,
                environment=self._environment(),
                group="infrastructure",
                priority=5,
            ),
            Program(
                name="rabbitmq",
                argv=(*as_account, str(self._script), "-noinput"),
                directory=self.directory,
                environment=self._environment(),
                stop_wait_s=30,
                group="infrastructure",
                priority=10,
            ),
        )

    def start(self) -> None:
        """Run both as our own children; returns before the node is ready."""
        self._processes = [ProgramProcess(program, logs=self._logs) for program in self.programs()]
        for process in self._processes:
            process.start()

    def stop(self) -> None:
        """Stop the node, then epmd; harmless when they are not running."""
        for process in reversed(self._processes):
            process.stop()

    def kill(self) -> None:
        """Kill both as a crash would."""
        for process in reversed(self._processes):
            process.kill()

    def wait_ready(self, timeout_s: float = 60) -> None:
        """Return when clients are answered and the virtual host `suite` is there; `NotReadyError` with the log's end otherwise."""
        deadline = time.monotonic() + timeout_s
        try:
            wait_for_amqp(self.url, timeout_s=timeout_s)
            while True:
                try:
                    call_api(self.api_url, "PUT", f"/api/vhosts/{VHOST}")
                    call_api(
                        self.api_url,
                        "PUT",
                        f"/api/permissions/{VHOST}/{USER}",
                        body=b'{"configure": ".*", "write": ".*", "read": ".*"}',
                    )
                except OSError as error:
                    if time.monotonic() > deadline:
                        raise NotReadyError(f"RabbitMQ's management API does not answer: {error}") from error
                    time.sleep(0.1)
                else:
                    return
        except NotReadyError as error:
            raise NotReadyError(f"{error}\n{last_lines(self._logs / 'rabbitmq.log')}") from error

    def _environment(self) -> dict[str, str]:
        directory = self.directory
        return {
            "HOME": str(directory / "home"),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(directory / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "env.conf"),
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            # Makes the script `exec` the Erlang machine instead of waiting for it; -noinput undoes its other effect.
            "RABBITMQ_ALLOW_INPUT": "1",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_CRASH_DUMP_SECONDS": "0",
        }

    def _configuration(self) -> str:
        return "".join(
            f"{name} = {value}\n"
            for name, value in {
                "listeners.tcp.1": f"{LOOPBACK}:{self.port}",
                "management.tcp.ip": LOOPBACK,
                "management.tcp.port": self.api_port,
                "default_user": USER,
                "default_pass": self._password,
                "default_vhost": VHOST,
                "log.file": "false",
                "log.console": "true",
                "log.console.level": "warning",
                "disk_free_limit.absolute": "200MB",
                **self._more,
            }.items()
        )


def wait_for_amqp(url: str, *, timeout_s: float) -> None:
    """Return when the broker, or any of its nodes, opens the AMQP 0-9-1 dialogue; `NotReadyError` otherwise."""
    nodes = [urlsplit(each) for each in each_host(url)]
    deadline = time.monotonic() + timeout_s
    while True:
        for node in nodes:
            try:
                with socket.create_connection((node.hostname or LOOPBACK, node.port or 5672), timeout=5) as connection:
                    connection.sendall(b"AMQP\x00\x00\x09\x01")
                    if connection.recv(1):
                        return
            except OSError:
                pass
        if time.monotonic() > deadline:
            raise NotReadyError(f"RabbitMQ does not answer after {timeout_s:.0f} s")
        time.sleep(0.1)


def call_api(api_url: str, method: str, path: str, *, body: bytes | None = None, accept: Sequence[int] = ()) -> bytes:
    """Call the management API; its credentials stand in the address. A refusal is an `OSError` unless its status is accepted."""
    parts = urlsplit(api_url)
    word = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    request = urllib.request.Request(
        f"http://{parts.hostname}:{parts.port}{path}",
        data=body,
        method=method,
        headers={"Authorization": f"Basic {word}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 -- the address is our own, http on loopback
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        if error.code in accept:
            return b""
        raise
