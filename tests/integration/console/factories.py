"""A service that believes the provider."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from common.health import Health
from common.http import HttpServer, Route, TokenBook, build_app
from common.service import Lifecycle, ServiceSettings, trust_provider, watch_files
from console.web.settings import ConsoleSettings
from tests.support.openid_provider.running import AUDIENCE, ROLES, Provider


@dataclass
class Service:
    """A service that believes the provider, and its file of tokens."""

    url: str
    session: aiohttp.ClientSession
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    async def whoami(self, token: str) -> tuple[int, Any]:
        """Ask it whose a token is: the name and role, or the code of the problem."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.get(self.url + "/admin/v1/whoami", headers=headers) as answer:
            said = await answer.json(content_type=None)
            return answer.status, (said["name"], said["role"]) if answer.status == 200 else said["code"]


def settings_of(provider: Provider, service: str, **more: Any) -> ConsoleSettings:
    """A console that the provider knows."""
    urls = dict.fromkeys(("webhook_gateway", "orchestrator", "tips", "refunds", "notifier"), service)
    given: dict[str, Any] = {
        **{f"{name}_url": url for name, url in urls.items()},
        "port": urlsplit(provider.console).port,
        "public_url": provider.console,
        "language": "en",
        "session_key": SecretStr("k" * 40),
        "oidc_issuer": provider.issuer,
        "oidc_client_id": "console",
        "oidc_client_secret": SecretStr("secret-of-the-console"),
        "oidc_scopes": "openid profile groups",
        "oidc_name": "Our provider",
    }
    return ConsoleSettings(**{**given, **more})


async def opened(
    stack: AsyncExitStack, provider: Provider, folder: Path, *, routes: Sequence[Route] = (), **more: Any
) -> Service:
    """Start a service."""
    file = folder / "tokens.json"
    entry = {"name": "bot", "role": "viewer", "token": "token-of-the-file"}
    file.write_text(json.dumps({"tokens": [entry, *more.pop("entries", ())]}))
    given: dict[str, Any] = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE, "oidc_roles": ROLES, **more}
    settings = ServiceSettings(port=0, tokens_file=file, **given)
    lifecycle, registry, tokens = Lifecycle(), CollectorRegistry(), TokenBook.load(file)
    stack.push_async_callback(lifecycle.drain)
    watch_files(lifecycle, registry, {"tokens": (file, tokens.read)})
    await trust_provider(lifecycle, registry, settings, tokens)
    app = build_app(service="kit", routes=routes, health=Health(), registry=registry, tokens=tokens)
    server = await stack.enter_async_context(HttpServer(app, "127.0.0.1", 0))
    session = await stack.enter_async_context(aiohttp.ClientSession())
    return Service(server.url, session, registry)
