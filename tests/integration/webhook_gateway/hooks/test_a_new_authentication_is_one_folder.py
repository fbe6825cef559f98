"""A new way to authenticate is a change of one folder, as CONTRIBUTING says: made in a copy of the gateway, and driven there."""

from __future__ import annotations

import hmac
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.hook_fuzz import valid_hook
from tests.support.openapi_calls import ADMIN, bearer, serving
from tests.support.servers.waiting import eventually

ROOT = Path(__file__).parents[4]
PATCH = ROOT / "tests/fixtures/changes/new_source_authentication.patch"
SOURCE = Path("services/webhook-gateway/src")
FOLDER = f"{SOURCE}/webhook_gateway/hooks/"
SECRET = "of the shop"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A file of sources that only the changed gateway can read."""
    file = tmp_path / "shops.json"
    file.write_text(json.dumps({"shop": {"auth": {"kind": "hub_signature", "secrets": ["an older one", SECRET]}}}))
    return file


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A copy of the gateway's sources with the change."""
    shutil.copytree(ROOT / SOURCE, tmp_path / SOURCE, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "apply", "-C1", str(PATCH)], cwd=tmp_path, check=True, timeout=30)
    return tmp_path / SOURCE


def test_the_change_touches_no_other_folder() -> None:
    touched = re.findall(r"^diff --git a/(\S+) b/", PATCH.read_text(), re.MULTILINE)
    assert touched
    assert [name for name in touched if not name.startswith(FOLDER)] == []


def test_the_gateway_without_the_change_refuses_such_a_source(sources: Path, tmp_path: Path) -> None:
    variables = {"SOURCES_FILE": str(sources), "SPOOL_DIR": str(tmp_path / "spool"), "TOKENS_FILE": str(sources)}
    result = subprocess.run(
        [sys.executable, "-m", "webhook_gateway", "serve"],
        env={**os.environ, **{f"WEBHOOK_GATEWAY_{name}": value for name, value in variables.items()}},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2, result.stderr


async def test_a_changed_gateway_takes_signed_hooks_only_and_masks_the_signature(
    changed: Path,
    sources: Path,
    database_for: Callable[[str], Awaitable[str]],
    amqp_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(changed), os.environ.get("PYTHONPATH", "")]))
    dsn = await database_for("webhook_gateway")
    variables = {"POSTGRES_DSN": dsn, "AMQP_URL": amqp_url, "SPOOL_DIR": str(tmp_path / "spool")}
    async with (
        serving("webhook_gateway", tmp_path, SOURCES_FILE=str(sources), **variables) as url,
        aiohttp.ClientSession() as session,
    ):

        async def answer(**headers: str) -> int:
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            async with session.post(f"{url}/hooks/v1/shop", data=body, headers=headers) as response:
                return response.status

        async def read(path: str) -> dict[str, Any]:
            async with session.get(f"{url}/admin/v1/deliveries{path}", headers=bearer(ADMIN)) as response:
                answer: dict[str, Any] = await response.json()
                return answer

        async def kept() -> list[dict[str, Any]]:
            items: list[dict[str, Any]] = (await read("?limit=10"))["items"]
            return items

        body = json.dumps(valid_hook(random.Random(1), "1")).encode()  # noqa: S311 - it makes an order, not a key
        signature = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
        assert await answer(X_Hub_Signature_256=f"sha256={signature}") == 200
        assert await answer(X_Hub_Signature_256=f"sha256={signature[::-1]}") == 403
        assert await answer() == 403
        [delivery] = await eventually(kept, what="the delivery")
        assert (await read(f"/{delivery['id']}"))["headers"]["x-hub-signature-256"] == "***"
