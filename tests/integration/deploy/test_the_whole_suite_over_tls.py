"""The suite with TLS on every way between its parts: each listener, database connection and broker connection, and the calls among them.

One order goes through its whole life there. Plain text stays at the outside world's systems, which this machine plays.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import asyncpg
import orjson
import pytest

from suite_local.catalogue import CONSOLE, GATEWAY, ORCHESTRATOR, SANDBOX, SERVICES, TIPS, WITH_CONSOLE, Service
from suite_local.infrastructure.rabbitmq import call_api
from suite_local.paths import RunDirectory, write_private
from suite_local.plan import Plan, programs, secret_files
from suite_local.ports import free_port
from suite_local.programs import Program, ProgramProcess
from tests.support.certificates import Authority
from tests.support.servers import TestDatabases, as_served, eventually
from tests.support.tls_servers import TlsPostgres, TlsRabbitmq, running

TELL = """
import json, sys
from suite_local import story
evidence, steps = story.play(json.load(sys.stdin))
print(json.dumps([[step.name, step.seen] for step in steps]))
"""
WRONG = {"authority": "unable to get local issuer certificate", "name": "Hostname mismatch"}
"""What can be wrong with a certificate that is not of whom we speak with, and in which words OpenSSL has it."""
WITH_BROKER = {each.name for each in SERVICES if each is not TIPS}


@pytest.fixture(scope="module")
def postgres() -> Iterator[TlsPostgres]:
    """A server that takes nobody without TLS."""
    with running(TlsPostgres) as made:
        yield made


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[TlsRabbitmq]:
    """A broker with a listener for TLS."""
    with running(TlsRabbitmq) as made:
        yield made


@dataclass
class Whole:
    """Every program of a plan, told to speak TLS: each service shows a certificate of its own."""

    plan: Plan
    folder: Path
    authority: Authority
    processes: dict[str, ProgramProcess]

    @classmethod
    def planned(cls, folder: Path, authority: Authority, *, amqp_url: str, dsns: dict[str, str]) -> Whole:
        run = RunDirectory(folder / "run")
        run.create()
        ports: dict[str, int] = {}
        for name in (*(each.name for each in WITH_CONSOLE), SANDBOX, "smtp"):
            ports[name] = free_port(ports.values())
        for path, text in secret_files(run).items():
            write_private(path, text)
        plan = Plan(
            run=run,
            ports=ports,
            smtp_port=ports["smtp"],
            replicas={each.name: 1 for each in WITH_CONSOLE},
            postgres_dsn="",
            databases={name: dsn for name, dsn in dsns.items() if name != TIPS.name},
            tips_dsn=dsns[TIPS.name],
            broker_urls={},
            amqp_url=amqp_url,
            overrides={"WEBHOOK_GATEWAY_CONFIRM_DEADLINE": "0.9", "REFUNDS_CONFIRM_CALLERS": "true"},
        )
        return cls(plan, folder, authority, {})

    def url(self, service: Service) -> str:
        return self.plan.url(service.name).replace("http:", "https:")

    def shown_by(self, service: Service) -> Path:
        return self.folder / "tls" / service.name

    def told(self, program: Program) -> Program:
        """The program as a whole suite over TLS has it: our own addresses are https, and it believes our authority."""
        text = json.dumps(dict(program.environment))
        for service in WITH_CONSOLE:
            text = text.replace(self.plan.url(service.name), self.url(service))
        environment = json.loads(text)
        if program.name == SANDBOX:
            environment["SSL_CERT_FILE"] = str(self.authority.file)  # the machine's own store, for the outside world
        else:
            [service] = [each for each in WITH_CONSOLE if each.name == program.name]
            files = {"CERT": "tls.crt", "KEY": "tls.key"}
            environment |= {
                f"{service.prefix}TLS_{kind}_FILE": str(self.shown_by(service) / name) for kind, name in files.items()
            }
            environment[f"{service.prefix}CA_FILE"] = str(self.authority.file)
            environment |= {"CONSOLE_PUBLIC_URL": self.url(CONSOLE)} if service is CONSOLE else {}
        return replace(program, environment=environment)

    @asynccontextmanager
    async def started(self, *names: str) -> AsyncIterator[None]:
        """Run these programs, or all."""
        for service in WITH_CONSOLE:
            self.authority.issue(self.shown_by(service))
        async with AsyncExitStack() as stack:
            for program in programs(self.plan):
                if not names or program.name in names:
                    process = self.processes[program.name] = ProgramProcess(self.told(program), logs=self.plan.run.logs)
                    stack.push_async_callback(asyncio.to_thread, process.stop)
                    process.start()
            yield

    def said(self, service: Service) -> str:
        """All that its log holds."""
        return self.processes[service.name].log.read_text(errors="replace")

    async def read(
        self, service: Service, path: str, trusted: aiohttp.ClientSession, token: str = ""
    ) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with trusted.get(self.url(service) + path, headers=headers) as answer:
            return answer.status, await answer.text()

    async def ready(self, session: aiohttp.ClientSession) -> None:
        async def all_ready() -> bool:
            try:
                return all([(await self.read(each, "/readyz", session))[0] == 200 for each in WITH_CONSOLE])
            except aiohttp.ClientConnectorError:
                return False

        await eventually(all_ready, what="every service ready over TLS")


def believing(authority: Authority) -> aiohttp.ClientSession:
    """A client that believes this authority alone, and keeps no connection."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=authority.trusted(), force_close=True))


@asynccontextmanager
async def databases_of(postgres: TlsPostgres) -> AsyncIterator[dict[str, str]]:
    """A database of each service on the server, by what the service is told: the whole chain is verified, and the name."""
    async with AsyncExitStack() as stack:
        made = TestDatabases(postgres.dsn())
        owned = {
            each.name: await stack.enter_async_context(made.migrated(each.package))
            for each in SERVICES
            if each.database
        }
        yield {name: as_served(dsn) for name, dsn in owned.items()} | {TIPS.name: owned[ORCHESTRATOR.name]}


async def test_an_order_lives_its_whole_life_with_tls_on_every_way_between_the_parts(
    postgres: TlsPostgres, rabbitmq: TlsRabbitmq, tmp_path: Path
) -> None:
    authority, stranger = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs", "an authority that nobody knows")
    async with databases_of(postgres) as dsns, believing(authority) as session:
        assert all("sslmode=verify-full" in dsn for dsn in dsns.values())
        suite = Whole.planned(tmp_path, authority, amqp_url=rabbitmq.url(), dsns=dsns)
        async with suite.started():
            await suite.ready(session)
            tokens = {name: (suite.plan.run.secrets / name).read_text() for name in ("viewer", "internal")}
            document = {
                "infrastructure": {SANDBOX: {"url": suite.plan.url(SANDBOX)}},
                "services": {each.name: {"url": suite.url(each)} for each in (ORCHESTRATOR, CONSOLE)},
                "tokens": tokens,
            }
            assert await told(document, authority) == []

            # Whom the servers see: every service, over TLS.
            admin = await asyncpg.connect(postgres.dsn())
            seen = await admin.fetch(
                "SELECT application_name AS name, bool_and(ssl) AS ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                " WHERE datname <> 'postgres' AND backend_type = 'client backend' GROUP BY 1"
            )
            await admin.close()
            assert {row["name"].partition(" ")[0] for row in seen if row["ssl"]} >= {each.name for each in SERVICES}
            assert [row["name"] for row in seen if not row["ssl"]] == []
            assert await over_tls(rabbitmq) >= WITH_BROKER

            for service in WITH_CONSOLE:
                await is_for_believers_only(suite, service, session, stranger, token=tokens["viewer"])


async def told(document: dict[str, object], authority: Authority) -> list[str]:
    """Play the demo's order, as a machine does that believes the authority; return what was not seen of it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", TELL),
        env={**os.environ, "SSL_CERT_FILE": str(authority.file)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate(json.dumps(document).encode())
    steps = orjson.loads(output)
    assert len(steps) > 5
    return [name for name, seen in steps if not seen]


async def over_tls(rabbitmq: TlsRabbitmq) -> set[str]:
    """Whose connections the broker has, once it shows them: each speaks TLS."""

    async def shown() -> list[tuple[str, bool]]:
        said = orjson.loads(await asyncio.to_thread(call_api, rabbitmq.server.api_url, "GET", "/api/connections"))
        named = [(each["client_properties"].get("connection_name", ""), each["ssl"]) for each in said if "ssl" in each]
        whose = {name.partition(".")[0] for name, _ in named}
        return named if whose >= WITH_BROKER else []

    named = await eventually(shown, what="a connection of each service")
    assert [name for name, ssl in named if not ssl] == []
    return {name.partition(".")[0] for name, _ in named}


async def is_for_believers_only(
    suite: Whole, service: Service, session: aiohttp.ClientSession, stranger: Authority, *, token: str
) -> None:
    """Its listener answers who believes it and nobody else; another certificate is shown soon, without a restart."""
    if service is not CONSOLE:
        assert (await suite.read(service, "/admin/v1/whoami", session, token))[0] == 200
    async with believing(stranger) as other:
        with pytest.raises(aiohttp.ClientConnectorCertificateError, match="unable to get local issuer"):
            await suite.read(service, "/livez", other)
        with pytest.raises(aiohttp.ClientError):
            await other.get(suite.plan.url(service.name) + "/livez")  # plain text
        pid = suite.processes[service.name].pid
        stranger.issue(suite.shown_by(service))

        async def exchanged() -> bool:
            try:
                return (await suite.read(service, "/livez", other))[0] == 200
            except aiohttp.ClientConnectorCertificateError:
                return False

        await eventually(exchanged, what=f"the other certificate of {service.name}")
    with pytest.raises(aiohttp.ClientConnectorCertificateError, match="unable to get local issuer"):
        await suite.read(service, "/livez", session)
    assert (suite.processes[service.name].running, suite.processes[service.name].pid) == (True, pid)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
@pytest.mark.parametrize("wrong", WRONG)
async def test_a_database_that_is_not_believed_is_away_in_clear_words(
    service: Service, wrong: str, postgres: TlsPostgres, rabbitmq: TlsRabbitmq, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "ours")
    dsn = postgres.dsn(ca=postgres.stranger.file) if wrong == "authority" else postgres.dsn(host="localhost")
    dsns = {each.name: dsn for each in SERVICES}
    suite = Whole.planned(tmp_path, authority, amqp_url=rabbitmq.url(), dsns=dsns)
    async with believing(authority) as session, suite.started(service.name):
        await complains(suite, service, session, of="postgres", in_words=WRONG[wrong])


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_broker_that_is_not_believed_is_away_in_clear_words(
    wrong: str, postgres: TlsPostgres, rabbitmq: TlsRabbitmq, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "ours")
    elsewhere = f"localhost:{rabbitmq.port}"
    url = rabbitmq.url(ca=rabbitmq.stranger.file) if wrong == "authority" else rabbitmq.url(hosts=elsewhere)
    async with databases_of(postgres) as dsns, believing(authority) as session:
        suite = Whole.planned(tmp_path, authority, amqp_url=url, dsns=dsns)
        async with suite.started(*WITH_BROKER):
            for service in SERVICES:
                if service.name in WITH_BROKER:
                    await complains(suite, service, session, of="rabbitmq", in_words=WRONG[wrong])


async def complains(suite: Whole, service: Service, session: aiohttp.ClientSession, *, of: str, in_words: str) -> None:
    """It lives, and says what is wrong with a server; the gateway, whose way in needs neither of them, in its log."""

    async def said() -> bool:
        try:
            status, text = await suite.read(service, "/readyz", session)
        except aiohttp.ClientConnectorError:
            return False  # it does not listen yet
        heard = suite.said(service) if service is GATEWAY else orjson.loads(text)["checks"].get(of, "")
        return f"certificate is not believed: {in_words}" in heard and status == (200 if service is GATEWAY else 503)

    await eventually(said, what=f"{service.name} says what is wrong with {of}")
    assert (await suite.read(service, "/livez", session))[0] == 200
