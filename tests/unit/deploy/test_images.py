"""The Dockerfile: what a linter would ask, and that each image gets exactly the packages that its service needs."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

import pytest
from aiohttp import web
from packaging.markers import Marker
from packaging.requirements import Requirement

from common.http import HttpServer, ServerCertificate
from suite_local.catalogue import WITH_CONSOLE
from suite_local.shipped import compose_file, example_values
from tests.support.certificates import Authority

PACKAGES = {
    **{service.name: ("libs/common", f"services/{service.name}") for service in WITH_CONSOLE},
    "sandbox": ("deploy/sandbox",),
}
ONLY_ON_WINDOWS = {"colorama"}  # typer's, and of tools that want it anywhere; the lock says once who wants it


@pytest.fixture(scope="module")
def instructions(repository: Path) -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined."""
    text = (repository / "deploy/docker/Dockerfile").read_text()
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", text))
    pairs = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(name, rest.strip()) for name, rest in pairs]


@pytest.fixture(scope="module")
def subset(repository: Path) -> ModuleType:
    """deploy/docker/subset.py, which is no part of any package."""
    spec = importlib.util.spec_from_file_location("deploy_docker_subset", repository / "deploy/docker/subset.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_base_image_is_pinned_and_slim(instructions: list[tuple[str, str]]) -> None:
    assert ("ARG", "PYTHON_IMAGE=python:3.12-slim") in instructions
    bases = [rest.split(" AS ")[0] for name, rest in instructions if name == "FROM"]
    assert bases == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}", "runtime", "runtime"]


def test_service_runs_as_an_ordinary_user_as_process_one_with_a_health_check(
    instructions: list[tuple[str, str]],
) -> None:
    start = next(index for index, (_, rest) in enumerate(instructions) if rest.endswith("AS runtime"))
    runtime = instructions[start:]
    names = [name for name, _ in runtime]
    rests = dict(runtime)
    user, group = rests["USER"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert names.index("USER") < names.index("ENTRYPOINT")
    check = rests["HEALTHCHECK"].rpartition("CMD ")[2]
    assert json.loads(check) == ["python", "/opt/suite-healthcheck.py"]
    assert "/livez" in rests["ENV"]
    assert json.loads(rests["ENTRYPOINT"]) == ["service"]
    assert [json.loads(rest) for name, rest in runtime if name == "CMD"] == [["serve"], ["--host", "0.0.0.0"]]  # noqa: S104 - inside a container


def test_nothing_is_downloaded_but_pinned_packages_and_no_secret_is_baked_in(
    instructions: list[tuple[str, str]],
) -> None:
    assert [rest for name, rest in instructions if name == "ADD"] == []
    commands = [command.strip() for name, rest in instructions if name == "RUN" for command in rest.split("&&")]
    installs = [command for command in commands if re.match(r"pip .*(install|wheel) ", command)]
    assert installs
    for command in installs:
        assert "--require-hashes" in command or "--no-index" in command or "--no-build-isolation" in command, command
        assert "--no-deps" in command, command
    assert [command for command in commands if re.search(r"\b(curl|wget|apt-get)\b", command)] == []
    told = [rest for name, rest in instructions if name in {"ENV", "ARG"}]
    assert [rest for rest in told if re.search(r"(?i)password|token|secret|dsn", rest)] == []


def test_only_what_the_dockerfile_copies_reaches_the_builder(
    instructions: list[tuple[str, str]], repository: Path
) -> None:
    copied = {
        source
        for name, rest in instructions
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    lines = (repository / ".dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert "*" in lines
    assert {source for source in copied if not any(Path(source).is_relative_to(path) for path in allowed)} == set()
    assert [source for source in copied if not (repository / source).exists()] == []


@pytest.mark.parametrize("image", PACKAGES)
def test_image_holds_what_its_service_needs_and_nothing_else(image: str, subset: ModuleType, repository: Path) -> None:
    pins = subset.parse_lock((repository / "requirements.lock").read_text())
    roots = set[str]().union(
        *(subset.requirements_of(repository / path / "pyproject.toml") for path in PACKAGES[image])
    )
    here = {name for name in subset.closure(pins, roots) if _is_for_this_platform(pins[name].lines[0])}
    assert here - ONLY_ON_WINDOWS == _installed_closure(roots)


def _is_for_this_platform(pin: str) -> bool:
    marker = pin.removesuffix("\\").partition(";")[2].strip()
    return not marker or Marker(marker).evaluate()


def _installed_closure(roots: set[str]) -> set[str]:
    """Return the names of the roots and all they need, as the installed packages themselves say."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting: list[tuple[str, frozenset[str]]] = [(root, frozenset()) for root in roots]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in found:
            continue
        found.add((name, extras))
        for text in importlib.metadata.requires(name) or []:
            wanted = Requirement(text)
            environments = [{"extra": extra} for extra in (*extras, "")]
            if wanted.marker is None or any(wanted.marker.evaluate(environment) for environment in environments):
                waiting.append((re.sub(r"[-_.]+", "-", wanted.name).lower(), frozenset(wanted.extras)))
    return {name for name, _ in found}


def test_what_is_printed_keeps_every_pin_and_hash_as_it_stands_in_the_lock(
    subset: ModuleType, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = repository / "requirements.lock"
    subset.main([str(lock), str(repository / "services/tips/pyproject.toml"), "aiohttp"])
    printed = capsys.readouterr().out
    entries = re.split(r"\n(?=\S)", printed.strip())
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert [entry for entry in entries if entry.endswith("\\")] == []
    kept = set(lock.read_text().replace(" \\", "").splitlines())
    assert [line for line in printed.replace(" \\", "").splitlines() if line not in kept] == []


def test_lock_that_does_not_know_a_package_is_refused(subset: ModuleType) -> None:
    with pytest.raises(ValueError, match="no-such-package is not in the lock"):
        subset.closure({}, ["No_Such.Package"])


@pytest.fixture
async def probed() -> AsyncIterator[str]:
    """The address of a server that lives and is not ready."""
    app = web.Application()

    async def alive(_: web.Request) -> web.Response:
        return web.Response()

    async def not_ready(_: web.Request) -> web.Response:
        return web.Response(status=503)

    app.router.add_get("/livez", alive)
    app.router.add_get("/readyz", not_ready)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/livez"
    await runner.cleanup()


@pytest.mark.parametrize(("arguments", "outcome"), [([], (0, "")), (["readyz"], (1, "/readyz: 503\n"))])
async def test_health_check_tells_alive_from_not_ready(
    arguments: list[str], outcome: tuple[int, str], probed: str, repository: Path
) -> None:
    assert await _health_check(repository, arguments, probed) == outcome


async def test_health_check_of_a_server_that_is_gone_fails(repository: Path) -> None:
    assert await _health_check(repository, [], "http://127.0.0.1:1/livez") == (1, "/livez: ConnectionRefusedError\n")


async def test_health_check_of_a_listener_over_tls_asks_over_tls(repository: Path, tmp_path: Path) -> None:
    Authority(tmp_path).issue(tmp_path, names=["tips"])
    certificate = ServerCertificate(tmp_path / "tls.crt", tmp_path / "tls.key")
    app = web.Application()

    async def alive(_: web.Request) -> web.Response:
        return web.Response()

    app.router.add_get("/livez", alive)
    async with HttpServer(app, "127.0.0.1", 0, certificate=certificate) as server:
        url = f"http://127.0.0.1:{server.port}/livez"
        assert (await _health_check(repository, [], url))[0] == 1
        told = {"TIPS_TLS_CERT_FILE": str(tmp_path / "tls.crt")}
        assert await _health_check(repository, [], url, **told) == (0, "")


async def _health_check(repository: Path, arguments: list[str], url: str, **told: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(repository / "deploy/docker/healthcheck.py"), *arguments),
        env={"SUITE_HEALTH_URL": url, **told},
        stderr=subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


_REGISTRY = """#!/bin/sh
# docker buildx imagetools inspect IMAGE, as far as the script goes
case $4 in ${AWAY:-nobody}*) echo "registry away" >&2; exit 1 ;; esac
printf 'Name:      docker.io/%s\\nMediaType: application/vnd.oci.image.index.v1+json\\n' "$4"
printf 'Digest:    sha256:%064d\\n\\nManifests:\\n  Digest: sha256:no\\n' 7
"""


def pinned(tmp_path: Path, repository: Path, *, away: str = "nobody") -> subprocess.CompletedProcess[str]:
    """Run the script on a copy of what it reads, beside a registry of this test's own."""
    for name in ("compose.yaml", "docker/pin.sh"):
        (tmp_path / "deploy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / "deploy" / name, tmp_path / "deploy" / name)
    docker = tmp_path / "docker"
    docker.write_text(_REGISTRY)
    docker.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "AWAY": away}
    script = tmp_path / "deploy" / "docker" / "pin.sh"
    return subprocess.run([script], env=environment, capture_output=True, text=True, check=False)


def test_every_image_of_others_is_pinned_by_what_the_script_writes(tmp_path: Path, repository: Path) -> None:
    assert pinned(tmp_path, repository).returncode == 0
    lines = [line for line in (tmp_path / "deploy" / "images.env").read_text().splitlines() if line[0] != "#"]
    compose = compose_file({**example_values(), **dict(line.split("=", 1) for line in lines)})
    others = {each["image"] for each in compose["services"].values() if not each["image"].startswith("order-suite/")}
    bases = {each["build"]["args"]["PYTHON_IMAGE"] for each in compose["services"].values() if "build" in each}
    unpinned = [image for image in others | bases if re.fullmatch(r".+:.+@sha256:0{63}7", image) is None]
    assert (unpinned, len(others), len(bases)) == ([], 7, 1)


def test_a_registry_that_is_away_leaves_the_digests_of_before(tmp_path: Path, repository: Path) -> None:
    pinned(tmp_path, repository)
    before = (tmp_path / "deploy" / "images.env").read_text()
    done = pinned(tmp_path, repository, away="postgres")
    assert (done.returncode, "no digest of postgres:18" in done.stderr) == (1, True)
    assert (tmp_path / "deploy" / "images.env").read_text() == before
    assert [each.name for each in (tmp_path / "deploy").glob("images.env*")] == ["images.env"]
