"""The five services, the console, both edges and the sandbox with what is shipped, run natively; the way of a problem through them."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.testing import RunningSandbox, running_sandbox
from suite_local.catalogue import CONSOLE, GATEWAY, NOTIFIER, ORCHESTRATOR, SERVICES, TIPS, WITH_CONSOLE, Service
from suite_local.ports import LOOPBACK
from suite_local.shipped import on_this_host, token_texts
from tests.support.certificates import certificate_in
from tests.support.processes import Program
from tests.support.servers import as_served, eventually
from tests.support.shipped_chats import CHANNELS, Channel, Chats

MakeEdge = Callable[..., AbstractAsyncContextManager[Any]]
MakeDatabase = Callable[[str], Awaitable[str]]
_MESSAGES = frozenset({"sendmessage", "editmessagetext", "chat.postmessage", "chat.update"})
_LINK = re.compile(r'href="(http[^"]+)"|<(https?://[^|>]+)\||(https?://[^\s<>"|]+)')


@dataclass
class Ports:
    """Where everything is instead."""

    services: dict[str, int]
    edge: int
    console_edge: int
    sandbox: int
    smtp: int

    @classmethod
    def chosen(cls, free_port: Callable[[], int]) -> Ports:
        services = {service.name: free_port() for service in WITH_CONSOLE}
        return cls(services, free_port(), free_port(), free_port(), free_port())

    def translated(self, value: str, places: Mapping[str, str]) -> str:
        """Return a container's value with the addresses that are there."""
        here = {
            **{
                f"{service.name}:{service.port}": f"{LOOPBACK}:{self.services[service.name]}"
                for service in WITH_CONSOLE
            },
            **{
                f"{service.name}.order-suite.svc.cluster.local:{service.port}": f"{LOOPBACK}:{self.services[service.name]}"
                for service in SERVICES
            },
            **{f"webhook-gateway-{name}:8081": self._gateway for name in (1, 2, 3)},
            "webhook-gateway-replicas.order-suite.svc.cluster.local:8081": self._gateway,
            "127.0.0.1:8081": self._gateway,
            "nginx:8080": f"{LOOPBACK}:{self.edge}",
            "0.0.0.0:8080": f"{LOOPBACK}:{self.edge}",
            "127.0.0.1:8086": f"{LOOPBACK}:{self.services[CONSOLE.name]}",
            **dict.fromkeys(("sandbox:8090", "127.0.0.1:8090"), f"{LOOPBACK}:{self.sandbox}"),
            "otel-collector:4318": f"{LOOPBACK}:1",
            "https://console.example.com": f"https://{LOOPBACK}:{self.console_edge}",
            "https://orders.example.com": f"http://{LOOPBACK}:{self.edge}",
            "https://calls.example.com/v1": f"http://{LOOPBACK}:{self.sandbox}/calls/v1",
            **{
                f"https://{name}.example.com": f"http://{LOOPBACK}:{self.sandbox}"
                for name in ("trust", "feedback", "watcher", "sentry")
            },
            "https://slack.com/api/": f"http://{LOOPBACK}:{self.sandbox}/api/",
            **dict.fromkeys(
                ("https://api.telegram.org", "https://api.tracker.yandex.net", "https://api.yookassa.ru"),
                f"http://{LOOPBACK}:{self.sandbox}",
            ),
            "kube-dns.kube-system.svc.cluster.local": LOOPBACK,
            " resolve": "",  # Debian's nginx knows it not, and these are numbers
            **places,
        }
        value = on_this_host(value, here)
        return {"0.0.0.0": LOOPBACK, "sandbox": LOOPBACK, "mail.example.com": LOOPBACK}.get(value, value)  # noqa: S104 - replaced

    @property
    def _gateway(self) -> str:
        return f"{LOOPBACK}:{self.services['webhook-gateway']}"


@dataclass(frozen=True, slots=True)
class Raised:
    """What a problem is called as an incident, what its summary holds, and within how many seconds it is there."""

    kind: str
    words: str = ""
    within: float = 120.0


@dataclass
class Stand:
    """All of them, running."""

    ports: Ports
    edge: str
    sandbox: RunningSandbox
    programs: Mapping[str, Program]
    tokens: Mapping[str, str]
    amqp_url: str
    trusted: ssl.SSLContext
    chats: Chats

    @property
    def console(self) -> str:
        """Where people find the console."""
        return self.programs[CONSOLE.name].environment["CONSOLE_PUBLIC_URL"]

    def url(self, service: Service) -> str:
        return self.programs[service.name].url

    async def call(self, method: str, url: str, *, role: str = "admin", body: Any = None, **headers: str) -> Any:
        """Call with a role's token; anything but success is an ``AssertionError``."""
        given = {"Authorization": f"Bearer {self.tokens[role]}", **headers}
        async with self.sandbox.session.request(method, url, json=body, headers=given) as answer:
            assert answer.status < 300, (url, answer.status, await answer.text())
            return await answer.json(content_type=None)

    async def missing(self) -> set[str]:
        """What coverage says is missing."""
        answer = await self.call("GET", f"{self.url(NOTIFIER)}/admin/v1/coverage", role="viewer")
        assert answer["covered"] == (not answer["missing"])
        return {hole["what"] for hole in answer["missing"]}

    async def incident(self, raised: Raised) -> dict[str, Any]:
        """The open incident that a problem is, when it is there."""

        async def found() -> Any:
            page = await self.call("GET", f"{self.url(NOTIFIER)}/admin/v1/incidents?state=open&limit=100")
            return next(
                (each for each in page["items"] if each["kind"] == raised.kind and raised.words in each["summary"]),
                None,
            )

        incident: dict[str, Any] = await eventually(found, within=raised.within, what=f"an incident {raised.kind}")
        return incident

    async def reaches_a_person(self, incident: Mapping[str, Any], *, pressed_in: Channel) -> None:
        """Wait until chat, ticket and phone have it; then take it by a button, through the edge."""
        url = f"{self.url(NOTIFIER)}/admin/v1"
        button = f"n1:a:{incident['id']}"

        async def phoned() -> bool:
            states = {each["state"] for each in (await self.call("GET", f"{url}/incidents/{incident['id']}"))["calls"]}
            said = [each["request"] for each in await self.sandbox.log("calls") if each["effect"]]
            heard = [each["text"] for each in said if each["phone"].startswith("+7999")]
            # What came at the same moment as another problem is said by the call about that one.
            return any(incident["summary"][:60] in text for text in heard) or ("covered" in states and heard != [])

        async def ticket() -> bool:
            return any(
                each["key"] for each in (await self.call("GET", f"{url}/tickets?incident={incident['id']}"))["items"]
            )

        told = {channel: await self.chats.having(channel, button) for channel in CHANNELS}
        await eventually(ticket, what=f"a ticket of {incident['kind']}")
        await eventually(phoned, what=f"a call about {incident['kind']}")
        await self.chats.press(pressed_in, *told[pressed_in], user="oleg")

        async def taken() -> bool:
            page = await self.call("GET", f"{url}/incidents?state=acknowledged&limit=100")
            return (incident["id"], "oleg") in {(each["id"], each["acknowledged_by"]) for each in page["items"]}

        await eventually(taken, what="the button takes the incident")

    async def links(self) -> set[str]:
        """Every link in every message and ticket."""
        said = [
            json.dumps(each["request"], ensure_ascii=False)
            for channel in ("telegram", "slack")
            for each in await self.sandbox.log(channel)
            if each["operation"].lower() in _MESSAGES
        ]
        tickets = (await self.call("GET", f"{self.url(NOTIFIER)}/admin/v1/tickets?limit=100"))["items"]
        said += [ticket["description"] for ticket in tickets]
        texts = "\n".join(said).replace('\\"', '"').replace("\\n", "\n").replace("&amp;", "&")
        return {next(filter(None, groups)) for groups in _LINK.findall(texts)}


@asynccontextmanager
async def stand(
    told: Mapping[str, Mapping[str, str]],
    files: Mapping[str, Mapping[str, str]],
    *,
    ports: Ports,
    edge_for: MakeEdge,
    console_edge: MakeEdge,
    database_for: MakeDatabase,
    amqp_url: str,
    accounts: Mapping[str, str],
    folder: Path,
    **sandbox: Any,
) -> AsyncIterator[Stand]:
    """Start everything with what each container is ``told`` and the ``files`` in its /run/suite; ``edge`` is nginx.

    ``accounts`` are the services' own at the broker, ``amqp_url`` is its administrator's.
    """
    owned = {service.name: await database_for(service.package) for service in SERVICES if service.database}
    # tips reaches it as its owner: what its role may do is tried elsewhere.
    databases = {name: as_served(dsn) for name, dsn in owned.items()} | {TIPS.name: owned[ORCHESTRATOR.name]}
    programs: dict[str, Program] = {}
    for service in WITH_CONSOLE:
        own = folder / service.name
        own.mkdir()
        for name, content in files.get(service.name, {}).items():
            (own / name).write_text(content)
        places = {
            "/run/suite": str(own),
            "/var/lib/suite/spool": str(folder / "spool"),
            "/var/log/suite-edge": str(folder / "nginx" / "edge-log"),
        }
        here = {name: ports.translated(value, places) for name, value in told[service.name].items()}
        here[f"{service.prefix}PORT"] = str(ports.services[service.name])
        if service.name in databases:
            here[f"{service.prefix}POSTGRES_DSN"] = databases[service.name]
        for name in (f"{service.prefix}AMQP_URL", f"{service.prefix}SMTP_PORT"):
            if name in here:
                here[name] = accounts[service.name] if name.endswith("AMQP_URL") else str(ports.smtp)
        url = f"http://{LOOPBACK}:{ports.services[service.name]}"
        programs[service.name] = Program(("-m", service.package, "serve"), here, url, folder / f"{service.name}.log")
    edge_variables = {
        name: ports.translated(value, {"/var/log/suite-edge": str(folder / "nginx" / "edge-log")})
        for name, value in told["edge"].items()
    }
    texts = token_texts(files[GATEWAY.name]["tokens.json"])
    people = {"viewer": texts["vera"], "operator": texts["oleg"], "admin": texts["anna"]}
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(running_sandbox(port=ports.sandbox, smtp_port=ports.smtp, **sandbox))
        for program in programs.values():
            stack.push_async_callback(program.kill)
        await asyncio.gather(*(program.start() for program in programs.values()))
        trusted = certificate_in(folder / "tls")
        console = programs[CONSOLE.name].url.removeprefix("http://")
        await stack.enter_async_context(
            console_edge(port=ports.console_edge, console=console, certificates=folder / "tls")
        )
        edge = await stack.enter_async_context(edge_for([1, 1, 1], variables=edge_variables))
        yield Stand(
            ports=ports,
            edge=edge.url,
            sandbox=world,
            programs=programs,
            tokens={**texts, **people, "internal": texts["machine"]},
            amqp_url=amqp_url,
            trusted=trusted,
            chats=Chats(world, edge.url, programs[NOTIFIER.name].environment["NOTIFIER_SLACK_SIGNING_SECRET"]),
        )
