"""`make images`: every image from deploy/docker/Dockerfile, and the demo order through services started from them.

With a Docker daemon it is compose itself. Without one buildah builds them, on a base that debootstrap makes of Debian's packages, and runs
them on this host's network with what compose tells each container; PostgreSQL and RabbitMQ are then the suite's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite_local import provisioning, screens, story
from suite_local.catalogue import CONSOLE, GATEWAY, ORCHESTRATOR, SANDBOX, SERVICES, WITH_CONSOLE
from suite_local.credentials import Credentials
from suite_local.errors import InfrastructureMissingError, SuiteLocalError
from suite_local.infrastructure.containers import docker_answers
from suite_local.infrastructure.find import find_postgres, find_rabbitmq
from suite_local.infrastructure.packages import install
from suite_local.paths import RunDirectory, repository_root
from suite_local.ports import LOOPBACK, PortBook
from suite_local.programs import Program, ProgramProcess
from suite_local.readiness import wait_all
from suite_local.shipped import DEPLOY, compose_file, example_values, files_of, on_this_host, token_texts

_FILES = "/run/suite"
_READY_WITHIN_S = 180.0
_DEBIAN = "bookworm"
_PACKAGES = "python3,python3-pip,python3-venv,ca-certificates,passwd"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_BASE = "order-suite/python:debian"
_CONTAINERS = {
    **{service.name: service.name for service in WITH_CONSOLE},
    GATEWAY.name: "webhook-gateway-1",
    SANDBOX: SANDBOX,
}


def images(run: RunDirectory) -> int:
    """Build all images and play one order through them; return 0 when every step was seen."""
    run.create()
    values = example_values()
    with _in_docker(values) if docker_answers() else _with_buildah(run, values) as document:
        evidence, steps = story.play(document)
        screens.show_story(evidence, steps)
    return 0 if all(step.seen for step in steps) else 1


@contextmanager
def _in_docker(values: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    compose = ("docker", "compose", "--file", str(DEPLOY / "compose.yaml"), "--env-file", str(DEPLOY / ".env.example"))
    try:
        _call(*compose, "up", "--build", "--detach", "--wait")
        ports = {service.name: service.port for service in WITH_CONSOLE} | {SANDBOX: 8090}
        yield _document(ports, compose_file(values))
    finally:
        _call(*compose, "down", "--volumes")


@contextmanager
def _with_buildah(run: RunDirectory, values: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name, path=_search_path()) is None]
    if missing:
        install(missing)
    if os.geteuid() != 0:
        raise InfrastructureMissingError("images need a Docker daemon, or buildah and debootstrap as root")
    buildah, compose = Buildah(run.root / "images"), compose_file(values)
    buildah.build(compose)
    with ExitStack() as stack:
        database, broker = find_postgres(run, os.environ, running=False), find_rabbitmq(run, os.environ, running=False)
        for program in (*broker.programs, *database.programs):
            _start(program, run, stack)
        database.wait_ready()
        broker.wait_ready()
        credentials, book = Credentials(run.secrets), PortBook(run.state_file)
        provisioning.provision(database.address, credentials)
        brokers: dict[str, str] = {}
        if broker.api is not None:
            provisioning.provision_broker(broker.api, broker.address, credentials)
            brokers = provisioning.broker_urls(broker.address, credentials)
        ports = {name: book.choose(f"image-{name}", default=None, asked=None) for name in _CONTAINERS}
        smtp = book.choose("image-smtp", default=None, asked=None)
        dsns = {
            **provisioning.database_dsns(database.address, credentials),
            "tips": provisioning.tips_dsn(database.address, credentials),
        }
        told = {
            name: environment_of(
                compose,
                name,
                ports=ports,
                smtp=smtp,
                dsn=dsns.get(name),
                amqp_url=brokers.get(name, broker.address),
            )
            for name in _CONTAINERS
        }
        for name in _CONTAINERS:
            buildah.container(name, files_of(compose, _CONTAINERS[name]))
        for name, owner in provisioning.owner_dsns(database.address, credentials).items():
            prefix = next(service.prefix for service in SERVICES if service.name == name)
            _call(*buildah.run(name, {**told[name], f"{prefix}MIGRATION_DSN": owner}, "service", "migrate"))
        for name in _CONTAINERS:
            port = ("--port", str(ports[name]), "--smtp-port", str(smtp)) if name == SANDBOX else ("serve",)
            command = buildah.run(name, told[name], "service", *port)
            _start(Program(name=f"image-{name}", argv=command, directory=run.root), run, stack)
        urls = {name: f"http://{LOOPBACK}:{ports[name]}" for name in _CONTAINERS}
        wait_all({SANDBOX: urls.pop(SANDBOX)}, timeout_s=_READY_WITHIN_S, path="/livez")
        wait_all(urls, timeout_s=_READY_WITHIN_S)
        yield _document(ports, compose)


def environment_of(
    compose: Mapping[str, Any],
    name: str,
    *,
    ports: Mapping[str, int],
    smtp: int,
    dsn: str | None,
    amqp_url: str,
) -> dict[str, str]:
    """Return what compose tells a container, with the addresses that are there when all of them share this host's network."""
    here = {f"{service.name}:{service.port}": f"{LOOPBACK}:{ports[service.name]}" for service in WITH_CONSOLE}
    here |= {
        "sandbox:8090": f"{LOOPBACK}:{ports[SANDBOX]}",
        "nginx:8080/telegram": f"{LOOPBACK}:{ports['notifier']}/telegram",
        "nginx:8080/slack": f"{LOOPBACK}:{ports['notifier']}/slack",
        "nginx:8080": f"{LOOPBACK}:{ports[GATEWAY.name]}",
        "127.0.0.1:8086": f"{LOOPBACK}:{ports[CONSOLE.name]}",
        "otel-collector:4318": f"{LOOPBACK}:1",
    }
    told = compose["services"][_CONTAINERS[name]]["environment"]
    values = {variable: on_this_host(value, here) for variable, value in told.items()}
    prefix = next((service.prefix for service in WITH_CONSOLE if service.name == name), "SANDBOX_")
    instead = {
        f"{prefix}HOST": LOOPBACK,
        f"{prefix}PORT": str(ports[name]),
        f"{prefix}POSTGRES_DSN": dsn or "",
        f"{prefix}AMQP_URL": amqp_url,
        f"{prefix}SMTP_HOST": LOOPBACK,
        f"{prefix}SMTP_PORT": str(smtp),
    }
    return {variable: instead.get(variable, value) for variable, value in values.items()}


@dataclass(frozen=True, slots=True)
class Buildah:
    """buildah without privileges of a container: its storage in a folder of ours, everything chrooted."""

    folder: Path

    @property
    def command(self) -> tuple[str, ...]:
        """How every call begins."""
        storage = ("--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run"))
        return ("buildah", *storage, "--storage-driver", "vfs")

    def build(self, compose: Mapping[str, Any]) -> None:
        """Build every image that compose builds, on a base made once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if _BASE not in self._output("images", "--format", "{{.Name}}:{{.Tag}}"):
            self._make_base()
        # This machine's own certificates, while building: something of its network may stand before the package index.
        certificates = ("--volume", f"{_CERTIFICATES}:{_CERTIFICATES}:ro") if Path(_CERTIFICATES).exists() else ()
        for name in _CONTAINERS:
            built = compose["services"][_CONTAINERS[name]]["build"]
            arguments = {**built["args"], "PYTHON_IMAGE": f"localhost/{_BASE}"}
            screens.say(f"building {name} …")
            _call(
                *(*self.command, "bud", "--isolation", "chroot", "--network", "host", "--quiet"),
                *("--file", str(repository_root() / built["dockerfile"]), "--target", built["target"]),
                *(word for pair in arguments.items() for word in ("--build-arg", "=".join(pair))),
                *certificates,
                *("--tag", f"order-suite/{name}:dev", str(repository_root())),
            )

    def container(self, name: str, files: Mapping[str, str]) -> None:
        """Make a fresh container of an image, and the files of its /run/suite."""
        if name in self._output("containers", "--format", "{{.ContainerName}}"):
            _call(*self.command, "rm", name)
        _call(*self.command, "from", "--name", name, f"localhost/order-suite/{name}:dev")
        folder = self.folder / "files" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            (folder / file).write_text(content, encoding="utf-8")
        for path in (self.folder / "files", folder):
            path.chmod(0o755)

    def run(self, name: str, environment: Mapping[str, str], *command: str) -> tuple[str, ...]:
        """Return the command that runs something in a container, as the image's own user."""
        told = (word for pair in environment.items() for word in ("--env", "=".join(pair)))
        files = ("--volume", f"{self.folder / 'files' / name}:{_FILES}:ro")
        return (*self.command, "run", "--isolation", "chroot", *told, *files, name, "--", *command)

    def _make_base(self) -> None:
        """A Debian with Python, as Docker's own image has it: `python` and pip on the path, and nothing that keeps pip out."""
        screens.say("making the base image …")
        tree = self.folder / "base"
        shutil.rmtree(tree, ignore_errors=True)
        _call("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _DEBIAN, str(tree))
        (tree / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        container = self._output("from", "scratch").strip()
        try:
            _call(*self.command, "add", "--quiet", container, str(tree), "/")
            _call(*self.command, "config", "--env", "PIP_BREAK_SYSTEM_PACKAGES=1", container)
            _call(*self.command, "commit", "--quiet", container, _BASE)
        finally:
            _call(*self.command, "rm", container)
            shutil.rmtree(tree, ignore_errors=True)

    def _output(self, *arguments: str) -> str:
        return _output(*self.command, *arguments)


def _document(ports: Mapping[str, int], compose: Mapping[str, Any]) -> dict[str, Any]:
    """What the story wants to know, as suite.json has it."""
    texts = token_texts(compose["configs"]["tokens"]["content"])
    return {
        "infrastructure": {SANDBOX: {"url": f"http://{LOOPBACK}:{ports[SANDBOX]}"}},
        "services": {name: {"url": f"http://{LOOPBACK}:{ports[name]}"} for name in (ORCHESTRATOR.name, CONSOLE.name)},
        "tokens": {"viewer": texts["vera"], "internal": texts["machine"]},
    }


def _start(program: Program, run: RunDirectory, stack: ExitStack) -> None:
    process = ProgramProcess(program, logs=run.logs)
    stack.callback(process.stop)
    process.start()


def _search_path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


def _call(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise SuiteLocalError(f"{command[0]} failed:\n{end}")


def _output(*command: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SuiteLocalError(f"{command[0]} failed:\n{done.stderr}")
    return done.stdout
