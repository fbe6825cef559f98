"""The OpenAPI document of the orchestrator holds: schemathesis finds no 5xx and no answer that the document does not allow (GOALS R5)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok

from readiness import wait_ready

CHOSEN = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
TOKENS = {"tokens": [{"name": "admin", "token": "admin-token", "role": "admin"}]}

# Something to find, so that operations reach past their 404.
_SEED = """
INSERT INTO workflow (order_number, kind, state, last_seq, done_seq)
SELECT 'N' || n, 'order_life', 1 + n % 4, 2, 1 FROM generate_series(1, 40) AS n;
INSERT INTO workflow_event (workflow_id, seq, type, event_id, attributes, payload, received_at)
SELECT id, n, 'order.paid', id || ':' || n, '{"source": "sm", "body_form": "payload"}', '{}', now()
FROM workflow, generate_series(1, 2) AS n;
"""


@pytest.fixture
async def orchestrator_url(
    database_for: Callable[[str], Awaitable[str]], amqp_url: str, tmp_path: Path
) -> AsyncIterator[str]:
    """The address of an orchestrator process. Not in this one: Hypothesis watches its own process' random numbers."""
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps(TOKENS))
    dsn = await database_for("orchestrator")
    connection = await asyncpg.connect(dsn)
    await connection.execute(_SEED)
    await connection.close()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "orchestrator", "serve"),
        env={
            **os.environ,
            "ORCHESTRATOR_PORT": "0",
            "ORCHESTRATOR_POSTGRES_DSN": dsn,
            "ORCHESTRATOR_TOKENS_FILE": str(tokens),
            "ORCHESTRATOR_AMQP_URL": amqp_url,
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

    @given(case=operation.as_strategy())
    @settings(
        max_examples=15, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
    )
    def call(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": "Bearer admin-token"}, checks=checks)

    call()


async def test_no_operation_of_the_orchestrator_breaks_its_own_document(orchestrator_url: str) -> None:
    await asyncio.to_thread(check_document, orchestrator_url)


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
        "GET /orders/v1/orders/{number}",
        "GET /orders/v1/orders",
        "GET /admin/v1/orders",
        "GET /admin/v1/orders/{number}/timeline",
        "POST /admin/v1/orders/{number}/recalculate",
        "GET /admin/v1/stock-movements",
        "GET /admin/v1/workflows",
        "GET /admin/v1/workflow-events",
        "POST /admin/v1/orders/recalculate",
        "POST /admin/v1/workflows/stop",
        "POST /admin/v1/workflow-events/{id}/reprocess",
        "POST /admin/v1/workflows/{id}/stop",
        "POST /admin/v1/workflows/{id}/resume",
        "POST /admin/v1/workflows/{id}/retry",
        "GET /admin/v1/flags/{name}",
        "PUT /admin/v1/flags/{name}",
        "GET /admin/v1/audit",
    }


def test_the_document_of_the_orchestrator_is_printed_without_any_server() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "orchestrator", "openapi"], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(printed.stdout)["info"]["title"] == "orchestrator"
