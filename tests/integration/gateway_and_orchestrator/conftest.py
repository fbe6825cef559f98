"""A gateway and an orchestrator in process, on one broker: what one answers with a yes, the other carries out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from common.service import running
from orchestrator.app import build
from orchestrator.settings import OrchestratorSettings
from tests.integration.orchestrator.conftest import TOKENS, Api
from tests.integration.webhook_gateway.conftest import start as start_gateway
from tests.support.servers import as_served

__all__ = ["start_gateway"]


@pytest.fixture
async def orders(tmp_path: Path, amqp_url: str, database_for: Callable[[str], Awaitable[str]]) -> AsyncIterator[Api]:
    """The orchestrator's interface."""
    tokens = tmp_path / "orchestrator-tokens.json"
    entries = [{"name": role, "token": token, "role": role} for role, token in TOKENS.items()]
    tokens.write_text(json.dumps({"tokens": entries}))
    settings = OrchestratorSettings(
        port=0,
        postgres_dsn=SecretStr(as_served(await database_for("orchestrator"))),
        amqp_url=SecretStr(amqp_url),
        tokens_file=tokens,
        poll=0.1,
        upkeep_every=0.1,
    )
    async with running(build, settings) as application, aiohttp.ClientSession() as session:
        yield Api(session, application.url)
