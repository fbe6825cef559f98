"""Whose token it is, and token files that change under a service that runs: revoked at once, never emptied by an accident."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from common.http import TokenBook
from common.service import Lifecycle, PeriodicJob, watch_files
from tests.support.clocks import ManualClock
from tests.support.servers import eventually

from .conftest import ROUTES, Demo, Serve

ANNA = {"name": "anna", "role": "admin", "token": "t-anna"}
BOB = {"name": "bob", "role": "viewer", "token": "t-bob"}


class Office:
    """A service, its token file, and what its metrics say of it."""

    def __init__(self, path: Path, demo: Demo, registry: CollectorRegistry, watcher: PeriodicJob) -> None:
        self.path = path
        self.demo = demo
        self.registry = registry
        self.watcher = watcher

    def write(self, *entries: dict[str, Any]) -> bytes:
        content = json.dumps({"tokens": entries}).encode()
        self.path.write_bytes(content)
        return content

    async def admitted(self, *names: str) -> None:
        """Wait until exactly these may come in."""

        async def looked() -> bool:
            self.watcher.wake()
            return {name for name in ("anna", "bob") if await self.status(name) == 200} == set(names)

        await eventually(looked, what=f"{names} alone may come in")

    async def status(self, name: str) -> int:
        return (await self.demo.call("GET", "/admin/v1/whoami", token=f"t-{name}")).status

    async def broken(self, expected: float) -> None:
        async def looked() -> bool:
            self.watcher.wake()
            return self.registry.get_sample_value("configuration_file_broken", {"file": "tokens"}) == expected

        await eventually(looked, what=f"configuration_file_broken is {expected}")


@pytest.fixture
async def office(serve: Serve, tmp_path: Path) -> AsyncIterator[Office]:
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({"tokens": [ANNA, BOB]}))
    book = TokenBook.load(path)
    lifecycle, registry = Lifecycle(), CollectorRegistry()
    watcher = watch_files(lifecycle, registry, {"tokens": (path, book.read)})
    office = Office(path, await serve(ROUTES, tokens=book), registry, watcher)
    await office.broken(0)
    yield office
    assert await lifecycle.drain()
    assert lifecycle.failure is None


async def test_a_revoked_token_stops_working_and_a_new_one_begins_to(office: Office) -> None:
    await office.admitted("anna", "bob")
    office.write(ANNA)
    await office.admitted("anna")
    office.write(BOB)
    await office.admitted("bob")


async def test_what_was_read_again_is_logged_by_name_without_a_token(
    office: Office, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    office.write(ANNA)
    await office.admitted("anna")
    office.write({**ANNA, "token": "t-other"}, {**BOB, "revoked": True})
    await office.admitted()
    lines = [line for line in log_lines() if line["event"] == "tokens_changed"]
    assert [(line["accepted"], line["withdrawn"]) for line in lines] == [([], ["bob"]), (["anna"], ["anna"])]
    assert "t-" not in json.dumps(lines)


async def test_a_mounted_secret_is_read_again_when_its_links_are_swapped(serve: Serve, tmp_path: Path) -> None:
    """As Kubernetes does it: the file is a link into ``..data``, itself a link that is renamed over."""

    def put(version: str, *tokens: dict[str, Any]) -> None:
        (tmp_path / version).mkdir()
        (tmp_path / version / "tokens.json").write_text(json.dumps({"tokens": tokens}))
        (tmp_path / "..new").symlink_to(version)
        (tmp_path / "..new").rename(tmp_path / "..data")

    put("..1", ANNA, BOB)
    path = tmp_path / "tokens.json"
    path.symlink_to("..data/tokens.json")
    book = TokenBook.load(path)
    lifecycle, registry = Lifecycle(), CollectorRegistry()
    watcher = watch_files(lifecycle, registry, {"tokens": (path, book.read)})
    office = Office(path, await serve(ROUTES, tokens=book), registry, watcher)
    await office.admitted("anna", "bob")
    put("..2", BOB)
    await office.admitted("bob")
    await lifecycle.drain()


async def test_a_file_that_is_half_written_keeps_everybody_in_until_it_is_whole(office: Office) -> None:
    content = office.write(ANNA)
    await office.admitted("anna")
    for cut in (0, 1, len(content) // 2, len(content) - 1):
        office.path.write_bytes(content[:cut])
        await office.broken(1)
        assert [await office.status(name) for name in ("anna", "bob")] == [200, 401]
    office.write(BOB)
    await office.admitted("bob")
    await office.broken(0)


async def test_a_file_that_is_gone_or_without_tokens_keeps_the_tokens(office: Office) -> None:
    office.write()
    await office.broken(1)
    office.path.unlink()
    await office.broken(1)
    assert await office.status("anna") == 200
    office.path.with_suffix(".new").write_text(json.dumps({"tokens": [BOB]}))
    office.path.with_suffix(".new").rename(office.path)
    await office.admitted("bob")
    await office.broken(0)


async def test_a_broken_file_is_logged_once_without_a_token_in_it(
    office: Office, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    office.write({**ANNA, "role": "king"})
    await office.broken(1)
    for _ in range(3):
        await office.broken(1)
    office.write(BOB)
    await office.admitted("bob")
    lines = [line for line in log_lines() if line["event"] in ("file_broken", "file_read_again")]
    reason = "is malformed: the token of 'anna' has the unknown role 'king'"
    assert [(line["event"], line.get("reason")) for line in lines] == [
        ("file_broken", reason),
        ("file_read_again", None),
    ]
    assert "t-anna" not in json.dumps(lines)


async def test_an_expired_token_stops_working_by_itself(serve: Serve) -> None:
    clock = ManualClock(datetime(2026, 12, 1, tzinfo=UTC))
    book = TokenBook(clock=clock)
    book.read(json.dumps({"tokens": [{**ANNA, "expires_at": "2026-12-01T00:00:10Z"}]}).encode())
    demo = await serve(ROUTES, tokens=book)
    assert (await demo.call("GET", "/admin/v1/whoami", token="t-anna")).status == 200
    clock.move_to(clock.now() + timedelta(seconds=10))
    answer = await demo.call("GET", "/admin/v1/whoami", token="t-anna")
    assert (answer.status, answer.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("token", "name", "role", "permissions"),
    [
        ("t-viewer", "vera", "viewer", ["DELETE /orders", "GET /orders"]),
        ("t-operator", "olga", "operator", ["DELETE /orders", "GET /orders", "POST /orders"]),
        ("t-admin", "anna", "admin", ["DELETE /orders", "GET /orders", "POST /orders"]),
        ("t-internal", "bot", "internal", ["DELETE /orders", "POST /internal"]),
    ],
)
async def test_whoami_says_whose_token_it_is_and_what_it_may_do(
    demo: Demo, token: str, name: str, role: str, permissions: list[str]
) -> None:
    answer = await demo.call("GET", "/admin/v1/whoami", token=token)
    assert answer.json() == {"name": name, "role": role, "permissions": permissions}


async def test_a_scope_narrows_a_role_and_a_change_of_it_needs_no_restart(office: Office) -> None:
    """The demo is no service of the suite, so no scope opens anything of it; what any valid token may do is not asked about."""

    async def permitted() -> list[str]:
        office.watcher.wake()
        found: list[str] = (await office.demo.call("GET", "/admin/v1/whoami", token="t-anna")).json()["permissions"]
        return found

    everything = await permitted()
    office.write({**ANNA, "scopes": ["refunds:refunds"]})

    async def narrowed() -> bool:
        return await permitted() == ["DELETE /orders"]

    await eventually(narrowed, what="the narrowed token")
    for broken in ("nothing", "refunds:everything"):
        office.write({**ANNA, "scopes": [broken]})
        await office.broken(1)
        assert await permitted() == ["DELETE /orders"]
    office.write(ANNA)

    async def whole() -> bool:
        return await permitted() == everything

    await eventually(whole, what="the token without scopes")


async def test_who_is_refused_is_logged_by_name_with_what_was_needed(
    office: Office, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    office.write({**ANNA, "scopes": ["refunds:refunds"]}, BOB)
    await office.broken(0)

    async def refused() -> bool:
        answer = await office.demo.call("GET", "/orders", token="t-anna")
        return answer.status == 403 and answer.json()["fields"] == [
            {"field": "demo:orders:read", "code": "out_of_scope", "message": "the token's scopes do not hold it"}
        ]

    office.watcher.wake()
    await eventually(refused, what="the refusal")
    assert (await office.demo.call("POST", "/orders", token="t-bob", json={})).json()["code"] == "forbidden"
    lines = [line for line in log_lines() if line["event"] == "caller_refused"]
    assert [(line["caller"], line["role"], line["needs"]) for line in lines[-2:]] == [
        ("anna", "admin", "demo:orders:read"),
        ("bob", "viewer", ["admin", "operator"]),
    ]


async def test_whoami_tells_nothing_without_a_token(demo: Demo) -> None:
    assert (await demo.call("GET", "/admin/v1/whoami")).status == 401
