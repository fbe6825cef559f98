"""Every service says whose token it was given, and forgets one that was taken out of its file, without a restart."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.contract.surface.observed import DATABASES, SERVICES, needed
from tests.support.openapi_calls import ADMIN, MACHINE, bearer, serving
from tests.support.servers import eventually


@pytest.mark.parametrize("package", SERVICES)
async def test_a_revoked_token_stops_working_while_the_service_runs(
    package: str, database_for: Callable[[str], Awaitable[str]], amqp_url: str, tmp_path: Path
) -> None:
    dsn = await database_for(DATABASES.get(package, package))
    variables = {"POSTGRES_DSN": dsn, "AMQP_URL": amqp_url, **needed(package, tmp_path)}
    async with serving(package, tmp_path, **variables) as url, aiohttp.ClientSession() as session:

        async def whoami(token: str) -> tuple[int, str | None]:
            async with session.get(url + "/admin/v1/whoami", headers=bearer(token)) as answer:
                return answer.status, (await answer.json()).get("name")

        async def revoked() -> bool:
            return [await whoami(token) for token in (ADMIN, MACHINE)] == [(401, None), (200, "machine")]

        assert [await whoami(token) for token in (ADMIN, MACHINE)] == [(200, "admin"), (200, "machine")]
        machine = {"name": "machine", "token": MACHINE, "role": "internal"}
        (tmp_path / "tokens.json").write_text(json.dumps({"tokens": [machine]}))
        await eventually(revoked, what="the revoked token alone is refused")
