"""The OpenAPI document of refunds holds: schemathesis finds no 5xx and no answer that the document does not allow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.openapi_calls import ADMIN, MACHINE, bearer, call_every_operation, printed_title, serving


@pytest.fixture
async def refunds_url(
    database_for: Callable[[str], Awaitable[str]], amqp_url: str, tmp_path: Path
) -> AsyncIterator[str]:
    """The address of a refunds process."""
    async with serving(
        "refunds",
        tmp_path,
        POSTGRES_DSN=await database_for("refunds"),
        AMQP_URL=amqp_url,
        TRUST_URL="http://127.0.0.1:9",
        TRUST_SERVICE_TOKEN="trust-token",
    ) as url:
        yield url


def headers_for(path: str) -> dict[str, str]:
    """Those of somebody who may."""
    return bearer(MACHINE if path.startswith("/refunds/") else ADMIN)


async def test_no_operation_of_refunds_breaks_its_own_document(refunds_url: str) -> None:
    tested = await asyncio.to_thread(call_every_operation, refunds_url, headers_for)
    assert set(tested) >= {
        "POST /refunds/v1/refunds",
        "GET /refunds/v1/refunds/{id}",
        "GET /admin/v1/refunds",
        "GET /admin/v1/refunds/{id}/history",
        "GET /admin/v1/refunds/{id}/evidence",
        "POST /admin/v1/refunds/{id}/restart",
        "POST /admin/v1/refunds/restart",
        "POST /admin/v1/reconciliation",
        "POST /notifications/v1/{gateway}",
        "GET /admin/v1/audit",
    }


def test_the_document_of_refunds_is_printed_without_any_server() -> None:
    assert printed_title("refunds") == "refunds"
