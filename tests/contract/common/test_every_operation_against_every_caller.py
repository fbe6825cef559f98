"""Each operation of the OpenAPI documents, called as each caller there is: only those may in whom its document names.

Callers are the tokens of the files that are shipped, one of every other role, those that must not work any more, and other systems'
secrets.
Whoever may in is answered what a body of ``{}`` deserves; nobody else gets that far.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from common.http.auth import ROLES, satisfying
from tests.contract.surface.observed import DATABASES, SERVICES, needed, stored
from tests.support.openapi_calls import bearer, serving

_SHIPPED = Path(__file__).parents[3] / "deploy/k8s/secrets.example"
_FILES = {"webhook_gateway": "webhook-gateway-files", "notifier": "notifier-files"}
_WEBHOOK_SECRET = "secret-of-the-webhook"
_AT_ONCE = 16
_TELEGRAM = "X-Telegram-Bot-Api-Secret-Token"

EVERYBODYS = {
    "GET /livez",
    "GET /readyz",
    "GET /metrics",
    "GET /on-call",
    "GET /on-call.ics",
    "POST /notifications/v1/{gateway}",
}
"""What needs no proof: probes, the mirror of who is on duty, and calls of which nothing is believed."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, with which headers; ``role`` by a token that the service knows, ``proof`` by the name of a security scheme."""

    name: str
    headers: Mapping[str, str]
    role: str | None = None
    proof: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """A line of the document, who may call it, by which other proofs, and whether it may answer 503."""

    method: str
    path: str
    roles: frozenset[str]
    proofs: frozenset[str]
    unavailable: bool

    @property
    def line(self) -> str:
        """Its name."""
        return f"{self.method} {self.path}"

    def lets_in(self, caller: Caller) -> bool:
        """Whether this caller may, by the document."""
        return self.line in EVERYBODYS or caller.role in self.roles or caller.proof in self.proofs

    def refuses_with(self, caller: Caller) -> set[int]:
        """What a caller who may not is answered. A hook without its source's proof is 403, whoever sends it."""
        if "Client-token" in self.proofs:
            return {403}
        return {403 if self.roles and caller.role else 401}


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Every operation, with whom its document names."""
    for path, methods in document["paths"].items():
        for method, found in methods.items():
            schemes = {name for each in found.get("security", ()) for name in each}
            named = re.search(r"Role: ([\w ]+)\.$", found.get("description") or found.get("role", ""))
            roles = satisfying(named.group(1).split(" or ")) if named else ROLES
            yield Operation(
                method.upper(),
                path,
                roles if "bearer" in schemes else frozenset(),
                frozenset(schemes - {"bearer"}),
                unavailable="503" in found["responses"],
            )


def shipped(directory: str) -> list[dict[str, Any]]:
    """The tokens of a file that is shipped."""
    entries: list[dict[str, Any]] = json.loads((_SHIPPED / directory / "tokens.json").read_text())["tokens"]
    return entries


def tokens_of(package: str) -> list[dict[str, Any]]:
    """What this service's file holds here: all that is shipped with it, every other role, and two that are over."""
    entries = shipped(_FILES.get(package, "suite-files"))
    missing = sorted(ROLES - {entry["role"] for entry in entries})
    over: list[dict[str, Any]] = [
        {"name": "expired", "token": "expired", "role": "admin", "expires_at": "2020-01-01T00:00:00Z"},
        {"name": "revoked", "token": "revoked", "role": "admin", "revoked": True},
    ]
    return [*entries, *({"name": role, "token": f"every-{role}", "role": role} for role in missing), *over]


def callers_of(package: str) -> list[Caller]:
    """Everybody who may knock at this service's door."""
    entries = tokens_of(package)
    known = [
        Caller(f"{entry['name']}, {entry['role']}", bearer(entry["token"]), role=entry["role"])
        for entry in entries
        if not {"expires_at", "revoked"} & entry.keys()
    ]
    accepted = {entry["token"] for entry in entries}
    elsewhere = {entry["token"] for name in ("suite-files", *_FILES.values()) for entry in shipped(name)} - accepted
    return [
        *known,
        *(Caller(f"{token}, of another service's file", bearer(token)) for token in sorted(elsewhere)),
        Caller("nobody", {}),
        Caller("a wrong token", bearer("wrong")),
        Caller("no token in the header", {"Authorization": "Bearer "}),
        Caller(
            "an admin's token as a password", {"Authorization": aiohttp.encode_basic_auth("anna", "change-me-anna")}
        ),
        Caller("one whose token has expired", bearer("expired")),
        Caller("one whose token was revoked", bearer("revoked")),
        Caller("the marketplace", {"Client-token": "token"}, proof="Client-token"),
        Caller("a wrong marketplace", {"Client-token": "wrong"}),
        Caller("Telegram", {_TELEGRAM: _WEBHOOK_SECRET}, proof=_TELEGRAM),
        Caller("another Telegram", {_TELEGRAM: "wrong"}),
        Caller("a forger", {"X-Slack-Signature": "v0=0", "X-Twilio-Signature": "0", "Sentry-Hook-Signature": "0"}),
    ]


@pytest.mark.parametrize("package", SERVICES)
async def test_an_operation_lets_in_whom_its_document_names_and_nobody_else(
    package: str, database_for: Callable[[str], Awaitable[str]], amqp_url: str, tmp_path: Path
) -> None:
    tokens = tmp_path / "all-tokens.json"
    tokens.write_text(json.dumps({"tokens": tokens_of(package)}))
    variables = {
        "POSTGRES_DSN": await database_for(DATABASES.get(package, package)),
        "AMQP_URL": amqp_url,
        **needed(package, tmp_path),
        "TOKENS_FILE": str(tokens),
        **({"TELEGRAM_WEBHOOK_SECRET": _WEBHOOK_SECRET} if package == "notifier" else {}),
    }
    callers, turn = callers_of(package), asyncio.Semaphore(_AT_ONCE)
    async with serving(package, tmp_path, **variables) as url, aiohttp.ClientSession() as session:
        async with session.get(url + "/openapi.json") as served:
            found = list(operations(await served.json()))

        async def wrong(operation: Operation, caller: Caller) -> tuple[str, str, int] | None:
            path = re.sub(r"\{\w+\}", "sbermarket" if operation.path.startswith("/hooks/") else "0", operation.path)
            async with (
                turn,
                session.request(
                    operation.method,
                    url + path,
                    headers=caller.headers,
                    json=None if operation.method == "GET" else {},
                ) as answer,
            ):
                code = (await answer.json()).get("code") if answer.status in {401, 403} else None
            if operation.lets_in(caller):
                fits = answer.status not in {401, 403} and (answer.status < 500 or operation.unavailable)
            else:
                fits = answer.status in operation.refuses_with(caller) and code in {"unauthorized", "forbidden"}
            return None if fits else (operation.line, caller.name, answer.status)

        answers = await asyncio.gather(*(wrong(operation, caller) for operation in found for caller in callers))
    assert [each for each in answers if each is not None] == []
    assert len(answers) == len(found) * len(callers)


@pytest.mark.parametrize("package", SERVICES)
def test_every_operation_names_its_caller_or_is_known_to_be_everybodys(package: str) -> None:
    named = {each.line for each in operations(stored(package)["openapi"]) if not (each.roles or each.proofs)}
    assert named == {each.line for each in operations(stored(package)["openapi"])} & EVERYBODYS


def test_every_role_opens_something_but_the_marketplaces() -> None:
    every = [operation for package in SERVICES for operation in operations(stored(package)["openapi"])]
    opened = Counter(role for operation in every if operation.roles != ROLES for role in operation.roles)
    assert ROLES - opened.keys() == {"marketplace"}
