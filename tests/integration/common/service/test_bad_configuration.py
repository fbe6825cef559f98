"""A service that cannot start says so in one line and exits; one whose database is away waits and says so on /readyz."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from common.postgres import required_versions
from suite_local.catalogue import SERVICES, TIPS, WITH_CONSOLE, Service
from suite_local.paths import RunDirectory, write_private
from suite_local.plan import Plan, secret_files, service_environment
from suite_local.ports import free_port
from suite_local.programs import inherited_environment
from tests.support.forked import Mother, mother
from tests.support.servers import eventually

NAMES = [service.name for service in SERVICES]
OWNERS = [service.name for service in SERVICES if service is not TIPS]
"""Those with a schema of their own to check."""
NOWHERE = "127.0.0.1:1"  # nothing listens on port 1 of loopback


def by_name(name: str) -> Service:
    """Return the service of that name."""
    return next(service for service in SERVICES if service.name == name)


def environment_of(service: Service, directory: Path, *, dsn: str, amqp_url: str, port: int) -> dict[str, str]:
    """Return the variables that the local suite would give the service, with these addresses."""
    run = RunDirectory(directory)
    run.create()
    plan = Plan(
        run=run,
        ports={each.name: port if each is service else 1 for each in WITH_CONSOLE} | {"sandbox": 1},
        smtp_port=1,
        replicas={each.name: 1 for each in WITH_CONSOLE},
        postgres_dsn=dsn,
        databases={each.name: dsn for each in SERVICES if each is not TIPS},
        tips_dsn=dsn,
        broker_urls={},
        amqp_url=amqp_url,
        overrides={},
    )
    for path, text in secret_files(run).items():
        write_private(path, text)
    return {**inherited_environment(), **service_environment(plan, service)}


Outcome = Callable[[Service, dict[str, str], Path], Awaitable[tuple[int, list[str]]]]


@pytest.fixture(scope="module")
def mothers() -> Iterator[Callable[[Service], Mother]]:
    """A function that gives the mother process of a service, made when it is first asked for."""
    with ExitStack() as stack:
        made: dict[str, Mother] = {}

        def get(service: Service) -> Mother:
            if service.name not in made:
                made[service.name] = stack.enter_context(mother(f"{service.package}.app"))
            return made[service.name]

        yield get


@pytest.fixture
def outcome(mothers: Callable[[Service], Mother]) -> Outcome:
    """A function that starts the service, waits until it ends, and returns its exit code and the lines on stderr."""

    async def run(service: Service, environment: dict[str, str], directory: Path) -> tuple[int, list[str]]:
        code, _, errors = await mothers(service).run(
            service.package, "serve", environment=environment, directory=directory
        )
        return code, errors.strip().splitlines()

    return run


@asynccontextmanager
async def serving(service: Service, environment: dict[str, str], directory: Path) -> AsyncIterator[None]:
    """Run the service as a process until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        service.package,
        "serve",
        env=environment,
        cwd=directory,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), 60)


@pytest.mark.parametrize("name", NAMES)
async def test_a_missing_database_address_is_one_line_that_names_the_variable(
    name: str, outcome: Outcome, tmp_path: Path
) -> None:
    """Exit code 2; the line names the variable and no value."""
    service = by_name(name)
    environment = environment_of(service, tmp_path, dsn="", amqp_url=f"amqp://guest:hushhush@{NOWHERE}/", port=0)
    code, lines = await outcome(service, environment, tmp_path)
    assert (code, len(lines)) == (2, 1), lines
    assert f"{service.prefix}POSTGRES_DSN" in lines[0]
    assert "hushhush" not in lines[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", [None, "not json", '{"tokens": []}'], ids=["missing", "malformed", "empty"])
async def test_a_wrong_token_file_is_one_line_that_names_the_file(
    name: str, content: str | None, outcome: Outcome, tmp_path: Path
) -> None:
    """Exit code 2, whatever is wrong with the file."""
    service = by_name(name)
    environment = environment_of(
        service, tmp_path, dsn=f"postgresql://u:p@{NOWHERE}/db", amqp_url=f"amqp://guest:guest@{NOWHERE}/", port=0
    )
    file = Path(environment[f"{service.prefix}TOKENS_FILE"])
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    code, lines = await outcome(service, environment, tmp_path)
    assert (code, len(lines)) == (2, 1), lines
    assert file.name in lines[0]


@pytest.mark.parametrize("name", NAMES)
async def test_a_port_that_is_taken_is_one_line_that_names_the_port(
    name: str, outcome: Outcome, tmp_path: Path
) -> None:
    """Exit code 2."""
    service = by_name(name)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        environment = environment_of(
            service,
            tmp_path,
            dsn=f"postgresql://u:p@{NOWHERE}/db",
            amqp_url=f"amqp://guest:guest@{NOWHERE}/",
            port=port,
        )
        code, lines = await outcome(service, environment, tmp_path)
    assert (code, len(lines)) == (2, 1), lines
    assert str(port) in lines[0]


@pytest.mark.parametrize("name", OWNERS)
async def test_a_schema_that_is_too_old_is_one_line_and_its_own_exit_code(
    name: str,
    database_for: Callable[[str], Awaitable[str]],
    amqp_url: str,
    outcome: Outcome,
    tmp_path: Path,
) -> None:
    """The last migration is missing: exit code 3, and the line says which one and what to run."""
    import asyncpg

    service = by_name(name)
    dsn = await database_for(service.package)
    last = required_versions(service.package)[-1]
    connection = await asyncpg.connect(dsn)
    await connection.execute("DELETE FROM schema_migrations WHERE version = $1", last)
    await connection.close()
    environment = environment_of(service, tmp_path, dsn=dsn, amqp_url=amqp_url, port=0)
    code, lines = await outcome(service, environment, tmp_path)
    assert (code, len(lines)) == (3, 1), lines
    assert last in lines[0]
    assert f"python -m {service.package} migrate" in lines[0]


@pytest.mark.parametrize("name", NAMES)
async def test_a_service_whose_database_is_away_lives_waits_and_says_so(name: str, tmp_path: Path) -> None:
    """/livez is 200; /readyz is 503 with the reason, except at the gateway, whose way in needs no database."""
    service = by_name(name)
    port = free_port()
    environment = environment_of(
        service,
        tmp_path,
        dsn=f"postgresql://u:hushhush@{NOWHERE}/db",
        amqp_url=f"amqp://guest:hushhush@{NOWHERE}/",
        port=port,
    )
    async with serving(service, environment, tmp_path), aiohttp.ClientSession() as session:

        async def ask(path: str) -> tuple[int, Any]:
            async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                return answer.status, await answer.json(content_type=None)

        async def alive() -> bool:
            try:
                return (await ask("/livez"))[0] == 200
            except aiohttp.ClientError as error:
                raise AssertionError("not listening yet") from error

        await eventually(alive, what="/livez")
        status, body = await ask("/readyz")
    assert "hushhush" not in json.dumps(body)
    if service.name == "webhook-gateway":
        # The spool can take orders while the broker is away (ADR 2).
        assert status == 200, body
    else:
        assert status == 503
        assert "postgres" in json.dumps(body).lower()
