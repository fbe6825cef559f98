"""The OpenAPI document of tips holds: schemathesis finds no 5xx and no answer that the document does not allow (GOALS R5)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok

from common.http import TIMEOUT_HEADER
from readiness import wait_ready

CHOSEN = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
TOKENS = {
    "tokens": [
        {"name": "admin", "token": "admin-token", "role": "admin"},
        {"name": "machine", "token": "internal-token", "role": "internal"},
    ]
}


@pytest.fixture
async def tips_url(database_for: Callable[[str], Awaitable[str]], tmp_path: Path) -> AsyncIterator[str]:
    """The address of a tips process. Not in this one: Hypothesis watches its own process' random numbers."""
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps(TOKENS))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tips", "serve"),
        env={
            **os.environ,
            "TIPS_PORT": "0",
            "TIPS_POSTGRES_DSN": await database_for("orchestrator"),
            "TIPS_TOKENS_FILE": str(tokens),
            "TIPS_FEEDBACK_URL": "http://127.0.0.1:9",
        },
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async for line in process.stdout:
        entry = json.loads(line)
        if entry["event"] == "service_started":
            break
    reader = asyncio.create_task(process.stdout.read())  # a full pipe would stop it
    yield await wait_ready(f"http://127.0.0.1:{entry['port']}")
    process.terminate()
    assert await process.wait() == 0
    await reader


def check_operation(operation: Any, checks: list[Any]) -> None:
    """Call one operation with what schemathesis makes up, as somebody who may."""
    token = "internal-token" if operation.path.startswith("/tips/") else "admin-token"

    @given(case=operation.as_strategy())
    @settings(
        max_examples=15, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
    )
    def call(case: Any) -> None:
        # A caller that waits a millisecond is rightly answered 503; that is tried elsewhere.
        case.call_and_validate(headers={"Authorization": f"Bearer {token}", TIMEOUT_HEADER: "60000"}, checks=checks)

    call()


async def test_no_operation_of_tips_breaks_its_own_document(tips_url: str) -> None:
    await asyncio.to_thread(check_document, tips_url)


def check_document(url: str) -> None:
    """Call every operation of the document."""
    document = schemathesis.openapi.from_url(url + "/openapi.json")
    validate(document.raw_schema)
    checks = [CHECKS.get_one(name) for name in CHOSEN]
    tested = []
    # Not schemathesis' own pytest fixture: it reaches for an attribute that this pytest's items no longer have.
    for found in document.get_all_operations():
        assert isinstance(found, Ok)
        check_operation(found.ok(), checks)
        tested.append(found.ok().label)
    assert set(tested) >= {
        "POST /tips/v1/set-tips-sum",
        "GET /tips/v1/need-hold-tips",
        "GET /admin/v1/explain",
        "GET /admin/v1/audit",
    }


def test_the_document_of_tips_is_printed_without_any_server() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "tips", "openapi"], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(printed.stdout)["info"]["title"] == "tips"
