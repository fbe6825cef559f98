"""The OpenAPI document of the orchestrator holds: schemathesis finds no 5xx and no answer that the document does not allow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from tests.support.openapi_calls import ADMIN, bearer, call_every_operation, printed_title, serving

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
    """The address of an orchestrator process."""
    dsn = await database_for("orchestrator")
    connection = await asyncpg.connect(dsn)
    await connection.execute(_SEED)
    await connection.close()
    async with serving("orchestrator", tmp_path, POSTGRES_DSN=dsn, AMQP_URL=amqp_url) as url:
        yield url


async def test_no_operation_of_the_orchestrator_breaks_its_own_document(orchestrator_url: str) -> None:
    tested = await asyncio.to_thread(call_every_operation, orchestrator_url, lambda _: bearer(ADMIN))
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
    assert printed_title("orchestrator") == "orchestrator"
