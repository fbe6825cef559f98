"""The suite as compose.tls.yaml has it: every program shows a certificate, and believes the others by one authority and by name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import yaml

from suite_local.catalogue import CONSOLE, GATEWAY, ORCHESTRATOR, SANDBOX, SERVICES, TIPS, WITH_CONSOLE, Service
from suite_local.paths import RunDirectory, write_private
from suite_local.plan import Plan, programs, secret_files
from suite_local.ports import LOOPBACK, free_port
from suite_local.programs import Program, ProgramProcess
from suite_local.shipped import DEPLOY, on_this_host
from tests.support.certificates import Authority
from tests.support.servers import TestDatabases, as_served, eventually
from tests.support.tls_servers import TlsPostgres


@dataclass
class Whole:
    """Every program of a plan, told to speak TLS: each service shows a certificate of its own, for its name and this machine."""

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
        """The program as compose.tls.yaml has it; whom the outside world and the program itself name is https, too."""
        text = json.dumps(dict(program.environment))
        own = [each for each in WITH_CONSOLE if each is CONSOLE or program.name in {SANDBOX, each.name}]
        for service in own:
            text = text.replace(self.plan.url(service.name), self.url(service))
        environment = json.loads(text)
        if program.name == SANDBOX:
            environment["SSL_CERT_FILE"] = str(self.authority.file)  # the machine's own store, for the outside world
        else:
            [service] = [each for each in WITH_CONSOLE if each.name == program.name]
            environment |= self.shipped(program.name + ("-1" if service is GATEWAY else ""))
            environment |= {"CONSOLE_PUBLIC_URL": self.url(CONSOLE)} if service is CONSOLE else {}
        return replace(program, environment=environment)

    def shipped(self, container: str, *, authority: Authority | None = None) -> dict[str, str]:
        """What compose.tls.yaml tells a container, with the places that are here."""
        service = container.removesuffix("-1")
        here = {
            "/run/suite/tls": str(self.folder / "tls" / service),
            "/run/suite/ca/ca.crt": str((authority or self.authority).file),
            **{f"{each.name}:{each.port}": f"{LOOPBACK}:{self.plan.ports[each.name]}" for each in WITH_CONSOLE},
        }
        text = (DEPLOY / "compose.tls.yaml").read_text()
        told: Mapping[str, str] = yaml.safe_load(text)["services"][container]["environment"]
        return {name: on_this_host(value, here) for name, value in told.items()}

    @asynccontextmanager
    async def started(self, *names: str) -> AsyncIterator[None]:
        """Run these programs, or all."""
        for service in WITH_CONSOLE:
            self.authority.issue(self.shown_by(service), names=(service.name, LOOPBACK))
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

        await eventually(all_ready, within=120, what="every service ready over TLS")


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
