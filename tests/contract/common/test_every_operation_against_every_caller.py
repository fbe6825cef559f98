"""Each operation of the OpenAPI documents, called as each caller there is: only those may in whom its document names.

Callers are the tokens of the files that are shipped, with their scopes, one of every role without scopes and one whose scopes are for
something else, those that must not work any more, and other systems' secrets.
Whoever may in is answered what a body of ``{}`` deserves, and 422 once a query parameter is misspelt; nobody else gets that far.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from common.http.auth import ROLES
from common.http.scopes import opened_by
from suite_local.shipped import token_texts
from tests.contract.common.operations import ANY_PARAMETERS, EVERYBODYS, Caller, Operation, operations
from tests.contract.surface.observed import DATABASES, SERVICES, needed, stored
from tests.support.openapi_calls import bearer, serving

_SHIPPED = Path(__file__).parents[3] / "deploy/k8s/secrets.example"
_FILES = {"webhook_gateway": "webhook-gateway-files", "notifier": "notifier-files"}
_WEBHOOK_SECRET = "secret-of-the-webhook"
_AT_ONCE = 16
_TELEGRAM = "X-Telegram-Bot-Api-Secret-Token"


def shipped(directory: str) -> dict[str, dict[str, Any]]:
    """The entries of a file that is shipped, by the token that each is the digest of."""
    text = (_SHIPPED / directory / "tokens.json").read_text()
    texts = token_texts(text)
    return {texts[entry["name"]]: entry for entry in json.loads(text)["tokens"]}


def tokens_of(package: str) -> dict[str, dict[str, Any]]:
    """What this service's file holds here, by the token: all that is shipped with it, every role as it was before scopes and for
    something that its role may not do anyhow, and two that are over.
    """
    entries = shipped(_FILES.get(package, "suite-files"))
    narrow = {role: ["notifier:admin" if role == "internal" else "tips:tips"] for role in sorted(ROLES)}
    every: list[dict[str, Any]] = [
        *({"name": f"every {role}", "token": f"every-{role}", "role": role} for role in narrow),
        *(
            {"name": f"narrow {role}", "token": f"narrow-{role}", "role": role, "scopes": scopes}
            for role, scopes in narrow.items()
        ),
    ]
    over: list[dict[str, Any]] = [
        {"name": "expired", "token": "expired", "role": "admin", "expires_at": "2020-01-01T00:00:00Z"},
        {"name": "revoked", "token": "revoked", "role": "admin", "revoked": True},
    ]
    return {**entries, **{entry["token"]: entry for entry in [*every, *over]}}


def callers_of(package: str) -> list[Caller]:
    """Everybody who may knock at this service's door."""
    entries = tokens_of(package)
    known = [
        Caller(
            f"{entry['name']}, {entry['role']}",
            bearer(token),
            role=entry["role"],
            scopes=opened_by(entry["scopes"]) if "scopes" in entry else None,
        )
        for token, entry in entries.items()
        if not {"expires_at", "revoked"} & entry.keys()
    ]
    elsewhere = {token for name in ("suite-files", *_FILES.values()) for token in shipped(name)} - entries.keys()
    leaked = entries["change-me-anna"]["sha256"]
    return [
        *known,
        *(Caller(f"{token}, of another service's file", bearer(token)) for token in sorted(elsewhere)),
        Caller("nobody", {}),
        Caller("a wrong token", bearer("wrong")),
        *(Caller("who read the file", bearer(text)) for text in (leaked, f"sha256:{leaked}")),
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
    tokens.write_text(json.dumps({"tokens": [*tokens_of(package).values()]}))
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

        async def said(operation: Operation, caller: Caller, query: str = "") -> tuple[int, str | None]:
            path = re.sub(r"\{\w+\}", "sbermarket" if operation.path.startswith("/hooks/") else "0", operation.path)
            body: dict[str, str] | None = None if operation.method == "GET" else {}
            async with (
                turn,
                session.request(operation.method, url + path + query, headers=caller.headers, json=body) as answer,
            ):
                return answer.status, (await answer.json()).get("code") if answer.status in {401, 403, 422} else None

        async def wrong(operation: Operation, caller: Caller) -> tuple[str, str, int, str | None] | None:
            status, code = await said(operation, caller)
            if operation.lets_in(caller):
                fits = status not in {401, 403} and (status < 500 or operation.unavailable)
            else:
                fits = (status, code) == operation.refuses_with(caller)
            return None if fits else (operation.line, caller.name, status, code)

        async def misspelt(operation: Operation, caller: Caller) -> tuple[str, str, int, str | None] | None:
            status, code = await said(operation, caller, "?no_such=1")
            return None if (status, code) == (422, "unknown_parameter") else (operation.line, caller.name, status, code)

        answers = await asyncio.gather(*(wrong(operation, caller) for operation in found for caller in callers))
        asked = [(each, caller) for each in found for caller in callers if each.lets_in(caller)]
        asked = [(each, caller) for each, caller in asked if each.line not in ANY_PARAMETERS]
        taken = await asyncio.gather(*(misspelt(operation, caller) for operation, caller in asked))
        audit = f"{url}/admin/v1/audit?action=call.refused&limit=200"
        async with session.get(audit, headers=bearer("change-me-anna")) as answer:
            refusals = (await answer.json())["items"]
    # Hundreds were refused; the audit log says so, of strangers and of people, and is not filled by it. Tips has none.
    actors = Counter("nobody" if each["role"] == "none" else "known" for each in refusals)
    assert set(actors) == (set() if package == "tips" else {"nobody", "known"})
    assert all(count <= 25 for count in actors.values()), actors
    assert [each for each in answers if each is not None] == []
    assert len(answers) == len(found) * len(callers)
    assert [each for each in taken if each is not None] == []
    assert {each.line for each, _ in asked} == {each.line for each in found} - ANY_PARAMETERS


@pytest.mark.parametrize("package", SERVICES)
def test_every_operation_names_its_caller_or_is_known_to_be_everybodys(package: str) -> None:
    named = {each.line for each in operations(stored(package)["openapi"]) if not (each.roles or each.proofs)}
    assert named == {each.line for each in operations(stored(package)["openapi"])} & EVERYBODYS


def test_every_role_opens_something_but_the_marketplaces() -> None:
    every = [operation for package in SERVICES for operation in operations(stored(package)["openapi"])]
    opened = Counter(role for operation in every if operation.roles != ROLES for role in operation.roles)
    assert ROLES - opened.keys() == {"marketplace"}
