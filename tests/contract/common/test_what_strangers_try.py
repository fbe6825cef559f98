"""Requests that say something else than they are: a token in its one header is all that opens an operation, whatever else strangers write.

Every operation of every service that wants a token is asked byte for byte, as no client library would write it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.contract.common.operations import Operation, operations
from tests.contract.surface.observed import DATABASES, SERVICES, needed
from tests.support.openapi_calls import ADMIN, bearer, serving
from tests.support.raw_http import request

VIEWER = "viewer-token"
OPENS = f"Authorization: Bearer {ADMIN}"
BASIC = "Authorization: " + aiohttp.encode_basic_auth("admin", ADMIN)
NO_TOKENS: dict[str, Sequence[str]] = {
    "none": (),
    "two of them, the right one first": (OPENS, "Authorization: Bearer wrong"),
    "two of them, the right one last": ("Authorization: Bearer wrong", OPENS),
    "the right one twice": (OPENS, OPENS),
    "as a password": (BASIC,),
    "without its scheme": (f"Authorization: {ADMIN}",),
    "both schemes in one header": (f"Authorization: Basic x, Bearer {ADMIN}",),
    "as other headers": (
        f"Proxy-Authorization: Bearer {ADMIN}",
        f"X-Authorization: Bearer {ADMIN}",
        f"Cookie: token={ADMIN}",
    ),
    "said by a proxy": (
        "X-Forwarded-User: admin",
        "X-Remote-User: admin",
        "X-Forwarded-For: 127.0.0.1",
        "X-Real-IP: 127.0.0.1",
    ),
    "for another address": ("X-Original-URL: /livez", "X-Rewrite-URL: /livez", "X-Forwarded-Prefix: /livez"),
    "a signed one of nobody": ("Authorization: Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",),
}
OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
_AT_ONCE = 8


@dataclass(frozen=True)
class Asked:
    """A service that is up, and its operations that want a token."""

    package: str
    url: str
    operations: Sequence[Operation]
    turn: asyncio.Semaphore

    async def __call__(self, method: str, path: str, *headers: str, body: bytes = b"") -> tuple[int, Any]:
        """Send exactly that; return status and answer."""
        async with self.turn:
            status, said, _ = await request(self.url, method, path, body, *headers)
        return status, said


def addressed(operation: Operation) -> str:
    """An operation's address."""
    return re.sub(r"\{\w+\}", "0", operation.path)


@pytest.mark.parametrize("package", SERVICES)
async def test_a_service_is_opened_by_one_token_in_its_one_header_alone(
    package: str, database_for: Callable[[str], Awaitable[str]], amqp_url: str, tmp_path: Path
) -> None:
    tokens = tmp_path / "known.json"
    known = [{"name": "anna", "token": ADMIN, "role": "admin"}, {"name": "vera", "token": VIEWER, "role": "viewer"}]
    tokens.write_text(json.dumps({"tokens": known}))
    variables = {
        "POSTGRES_DSN": await database_for(DATABASES.get(package, package)),
        "AMQP_URL": amqp_url,
        **needed(package, tmp_path),
        "TOKENS_FILE": str(tokens),
    }
    async with serving(package, tmp_path, **variables) as url, aiohttp.ClientSession() as session:
        async with session.get(url + "/openapi.json") as served:
            found = [each for each in operations(await served.json()) if each.roles and not each.proofs]
        assert len(found) > 5
        asked = Asked(package, url, found, asyncio.Semaphore(_AT_ONCE))
        await who_and_whence_in_the_audit_is_the_tokens_owner(asked)
        await no_token_but_in_its_header_counts(asked)
        await no_other_spelling_of_an_address_opens_it(asked)
        await a_method_is_the_one_in_the_first_line(asked)
        await what_is_too_long_or_beside_the_point_harms_nobody(asked)


async def no_token_but_in_its_header_counts(asked: Asked) -> None:
    """Doubled, in the address, as a password, as somebody else's header: each is 401."""
    in_query = f"?access_token={ADMIN}&token={ADMIN}&authorization=Bearer%20{ADMIN}"

    async def wrong(operation: Operation, what: str, path: str, headers: Sequence[str]) -> tuple[str, str, int] | None:
        status, _ = await asked(operation.method, path, *headers, body=b"{}" if operation.method != "GET" else b"")
        return None if status == 401 else (operation.line, what, status)

    tries = [
        *((each, what, addressed(each), headers) for each in asked.operations for what, headers in NO_TOKENS.items()),
        *((each, "in the address", addressed(each) + in_query, ()) for each in asked.operations),
    ]
    found = await asyncio.gather(*(wrong(*each) for each in tries))
    assert [each for each in found if each is not None] == []
    status, who = await asked("GET", "/admin/v1/whoami", OPENS)
    assert (status, who["name"]) == (200, "anna")  # and that is how it is opened


async def no_other_spelling_of_an_address_opens_it(asked: Asked) -> None:
    """With slashes, dots and escapes an address is refused as it is, or is none."""

    def spellings(path: str) -> Sequence[str]:
        return (
            *(
                f"{path}/",
                f"/{path}",
                f"/livez/..{path}",
                f"/livez/%2e%2e{path}",
                f"/livez/..%2f{path[1:]}",
                f"{path};x=1",
            ),
            *(
                f"{path}%00",
                f"{path}%20",
                path.upper(),
                f"/%{ord(path[1]):x}{path[2:]}",
                path.replace("/", "\\"),
                f"/.{path}",
            ),
        )

    async def wrong(method: str, path: str) -> tuple[str, str, int] | None:
        status, _ = await asked(method, path, body=b"{}" if method != "GET" else b"")
        return None if status in {400, 401, 404, 405} else (method, path, status)

    tries = [(each.method, path) for each in asked.operations for path in spellings(addressed(each))]
    assert [each for each in await asyncio.gather(*(wrong(*each) for each in tries)) if each is not None] == []


async def a_method_is_the_one_in_the_first_line(asked: Asked) -> None:
    """Headers and parameters that name another method change nothing; no other site's page may read an answer."""
    reads = {each.path for each in asked.operations if each.method == "GET"}

    async def wrong(operation: Operation) -> list[tuple[str, str, int]]:
        path = f"{addressed(operation)}?_method={operation.method}"
        found: list[tuple[str, str, int]] = []
        closed = {401} if operation.path in reads else {401, 405}  # 401: the address of another one's reading
        for method, expected in (("HEAD", closed), ("OPTIONS", {405}), ("TRACE", {405})):
            if (status := await without_body(method, addressed(operation))) not in expected:
                found.append((operation.line, method, status))
        if operation.method != "GET":
            overridden = [f"{name}: {operation.method}" for name in OVERRIDES]
            for sent in ("GET", "HEAD"):
                plain, again = [
                    await without_body(sent, path, f"Authorization: Bearer {VIEWER}", *headers)
                    for headers in ((), overridden)
                ]
                if again != plain:
                    found.append((operation.line, f"{sent} told to be another", again))
        return found

    async def without_body(method: str, path: str, *headers: str) -> int:
        async with asked.turn, aiohttp.ClientSession() as session:
            given = dict(header.split(": ") for header in headers)
            async with session.request(method, asked.url + path, headers=given) as answer:
                assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
                return answer.status

    found = await asyncio.gather(*(wrong(each) for each in asked.operations))
    assert [each for some in found for each in some] == []


async def who_and_whence_in_the_audit_is_the_tokens_owner(asked: Asked) -> None:
    """Whatever else a caller says of itself stands nowhere."""
    if asked.package == "tips":  # no database of its own, and so no audit log
        status, page = await asked("GET", "/admin/v1/audit", OPENS)
        assert (status, page["items"]) == (200, [])
        return
    change = next(
        each
        for each in asked.operations
        if each.method != "GET" and each.path.startswith("/admin/") and "viewer" not in each.roles
    )
    claims = (
        "X-Forwarded-User: boss",
        "X-Remote-User: boss",
        "X-Actor: boss",
        "From: boss@example.com",
        "X-Request-Id: a'; --",
    )
    said = json.dumps({"actor": "boss", "name": "boss", "reason": "because"}).encode()
    status, _ = await asked(change.method, addressed(change), f"Authorization: Bearer {VIEWER}", *claims, body=said)
    assert status == 403
    _, page = await asked("GET", "/admin/v1/audit?action=call.refused", OPENS)
    [record] = page["items"]
    assert (record["actor"], record["role"], record["target"]) == ("vera", "viewer", change.line)
    assert "boss" not in str(record)
    assert re.fullmatch("[0-9a-f]{32}", record["request_id"])


async def what_is_too_long_or_beside_the_point_harms_nobody(asked: Asked) -> None:
    """Heads have their limit, and the body of a reading is no second request."""
    for name, size in (("Authorization", 9_000), ("X-Request-Id", 9_000), ("Cookie", 60_000)):
        assert (await asked("GET", "/admin/v1/whoami", f"{name}: {'a' * size}"))[0] == 400
    assert (await asked("GET", "/admin/v1/whoami?" + "a" * 9_000, OPENS))[0] in {400, 414}
    assert (await asked("GET", "/admin/v1/whoami", OPENS, "Transfer-Encoding: chunked", body=b"0\r\n\r\n"))[0] == 400
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        hidden = b"GET /admin/v1/audit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\n\r\n"
        for body in (hidden, b"", hidden):
            async with session.get(f"{asked.url}/admin/v1/whoami", data=body, headers=bearer(ADMIN)) as answer:
                assert (answer.status, (await answer.json())["name"]) == (200, "anna")
