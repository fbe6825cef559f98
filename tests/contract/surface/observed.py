"""What a service shows to others, as it is now: read from the running service, from its database and from its settings."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from pydantic import BaseModel
from pydantic_core import to_jsonable_python
from pydantic_settings import NoDecode

from sandbox.app import build_world, runner_for
from sandbox.settings import ENV_PREFIX, Settings
from tests.contract.surface.database import schema_of
from tests.support.openapi_calls import serving
from tests.support.servers import TestDatabases

SERVICES = ("webhook_gateway", "orchestrator", "tips", "refunds", "notifier")
ASYNCAPI, SANDBOX = "asyncapi", "sandbox"
_ROOT = Path(__file__).parents[3]
_STORED = _ROOT / "tests/fixtures/surface"
_NOBODY = "http://127.0.0.1:9"
DATABASES = {"tips": "orchestrator"}  # whose own database it works on
_NOTHING = object()
_WORDS = ("description", "summary")
_NAMED = ("properties", "$defs", "schemas", "paths", "parameters", "responses", "headers", "messages", "channels")


def stored(name: str) -> Any:
    """Return the snapshot."""
    return json.loads((_STORED / f"{name}.json").read_text())


def store(name: str, surface: Mapping[str, Any]) -> None:
    """Make this the snapshot: one line for each thing that has a name, so that a change is seen in its place."""
    (_STORED / f"{name}.json").write_text(_lines(surface, depth=3) + "\n")


async def surface_of(package: str, databases: TestDatabases, amqp_url: str, directory: Path) -> dict[str, Any]:
    """Run the service with everything that it can do without others, and return what it shows."""
    metrics = directory / "metrics.json"
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(databases.migrated(DATABASES.get(package, package)))
        variables = {"POSTGRES_DSN": dsn, "AMQP_URL": amqp_url, **needed(package, directory)}
        runner = ("tests.contract.surface.recorded_service", str(metrics))
        async with (
            serving(package, directory, runner=runner, **variables) as url,
            aiohttp.request("GET", f"{url}/openapi.json") as answer,
        ):
            openapi = await answer.json()
        database = {} if package in DATABASES else await schema_of(dsn)
    return {
        "openapi": openapi,
        "metrics": json.loads(metrics.read_text()),
        "settings": _settings_of(package),
        "database": database,
    }


def needed(package: str, directory: Path) -> dict[str, str]:
    """Return the settings without which the service does not start, beside servers and tokens; writes the files that they name."""
    sources, spool = directory / "sources.json", directory / "spool"
    sources.write_text(json.dumps({"sbermarket": {"auth": {"kind": "client_token", "tokens": ["token"]}}}))
    token = directory / "token"
    token.write_text("token")
    return {
        "webhook_gateway": {"SOURCES_FILE": str(sources), "SPOOL_DIR": str(spool)},
        "orchestrator": {"FEEDBACK_URL": _NOBODY, "TIPS_URL": _NOBODY, "INTERNAL_TOKEN_FILE": str(token)},
        "tips": {"FEEDBACK_URL": _NOBODY},
        "refunds": {
            "TRUST_URL": _NOBODY,
            "TRUST_SERVICE_TOKEN": "token",
            "YOOKASSA_URL": _NOBODY,
            "YOOKASSA_SHOP_ID": "shop",
            "YOOKASSA_SECRET_KEY": "key",
        },
        "notifier": {},
    }[package]


def asyncapi() -> Any:
    """Return the document that the message models make."""
    command = [sys.executable, "-m", "common.contracts.asyncapi"]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return yaml.safe_load(printed.stdout)


def sandbox() -> dict[str, Any]:
    """Return the addresses that the sandbox answers at, and its settings."""
    routes = runner_for(build_world(Settings())).app.router.routes()
    return {
        "routes": sorted(
            f"{route.method} {route.resource.canonical}" for route in routes if route.resource is not None
        ),
        "settings": _settings(Settings, ENV_PREFIX),
    }


def _settings_of(package: str) -> dict[str, Any]:
    module = importlib.import_module(f"{package}.settings")
    (found,) = (
        kind
        for name, kind in vars(module).items()
        if name.endswith("Settings") and kind.__module__ == module.__name__ and issubclass(kind, BaseModel)
    )
    return _settings(found, str(found.model_config["env_prefix"]))


def _settings(kind: type[BaseModel], prefix: str) -> dict[str, Any]:
    schema = kind.model_json_schema()
    shown: dict[str, Any] = {
        f"{prefix}{name}".upper(): {
            **schema["properties"][name],
            "required": field.is_required(),
            "default": None if field.is_required() else _value(field.get_default(call_default_factory=True)),
            "as_json": NoDecode not in field.metadata,
        }
        for name, field in kind.model_fields.items()
    }
    return {**shown, "$defs": schema.get("$defs", {})}


def _value(default: Any) -> Any:
    value = to_jsonable_python(default)
    if isinstance(default, frozenset):
        value = sorted(value)
    return value if not isinstance(default, Path) or not default.is_absolute() else default.name


def without_words(node: Any, *, names: bool = False) -> Any:
    """Return a document without descriptions and summaries, but who may call an operation, which stands at the end of its description.

    Keys of a table of named things stay, whatever they are.
    """
    if isinstance(node, dict):
        kept = {
            key: without_words(value, names=key in _NAMED and not names)
            for key, value in node.items()
            if names or key not in _WORDS or not isinstance(value, str)
        }
        role = None if names else re.search(r"Role: [\w ]+\.$", str(node.get("description", "")))
        return {**kept, "role": role.group()} if role else kept
    return [without_words(value) for value in node] if isinstance(node, list) else node


def differences(before: Any, now: Any, at: str = "") -> list[str]:
    """Return what differs, each with its place; lists are one thing each."""
    if isinstance(before, dict) and isinstance(now, dict):
        found = []
        for key in sorted(before.keys() | now.keys(), key=str):
            place = f"{at}/{key}" if at else str(key)
            found += differences(before.get(key, _NOTHING), now.get(key, _NOTHING), place)
        return found
    return [] if before == now else [f"{at}: {_shown(before)} -> {_shown(now)}"]


def _shown(value: Any) -> str:
    return "nothing" if value is _NOTHING else json.dumps(value, ensure_ascii=False)


def words(node: Any, at: str = "") -> dict[str, str]:
    """Return every description and summary of a document by its place."""
    found: dict[str, str] = {}
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key in _WORDS and isinstance(value, str):
            found[f"{at}/{key}"] = re.sub(r"\s+", " ", value)
        else:
            found |= words(value, f"{at}/{key}")
    return found


def _lines(node: Any, *, depth: int, indent: int = 0) -> str:
    if not isinstance(node, dict) or not depth or not node:
        return json.dumps(node, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    pad = " " * (indent + 1)
    inner = ",\n".join(
        f"{pad}{json.dumps(key)}: {_lines(node[key], depth=depth - 1, indent=indent + 1)}" for key in sorted(node)
    )
    return "{\n" + inner + "\n" + " " * indent + "}"


async def everything(databases: TestDatabases, amqp_url: str, directory: Path) -> dict[str, Any]:
    """Return all of it by the name it is stored under."""
    found: dict[str, Any] = {ASYNCAPI: await asyncio.to_thread(asyncapi), SANDBOX: sandbox()}
    for package in SERVICES:
        own = directory / package
        own.mkdir()
        found[package] = await surface_of(package, databases, amqp_url, own)
    return found
