"""The OpenAPI document of tips holds: schemathesis finds no 5xx and no answer that the document does not allow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from common.http import TIMEOUT_HEADER
from tests.support.openapi_calls import ADMIN, MACHINE, bearer, call_every_operation, printed_title, serving


@pytest.fixture
async def tips_url(database_for: Callable[[str], Awaitable[str]], tmp_path: Path) -> AsyncIterator[str]:
    """The address of a tips process."""
    async with serving(
        "tips",
        tmp_path,
        POSTGRES_DSN=await database_for("orchestrator"),
        FEEDBACK_URL="http://127.0.0.1:9",
    ) as url:
        yield url


def headers_for(path: str) -> dict[str, str]:
    """Those of somebody who may, and who waits: a caller that waits a millisecond is rightly answered 503, which is tried elsewhere."""
    return {**bearer(MACHINE if path.startswith("/tips/") else ADMIN), TIMEOUT_HEADER: "60000"}


async def test_no_operation_of_tips_breaks_its_own_document(tips_url: str) -> None:
    tested = await asyncio.to_thread(call_every_operation, tips_url, headers_for)
    assert set(tested) >= {
        "POST /tips/v1/set-tips-sum",
        "GET /tips/v1/need-hold-tips",
        "GET /admin/v1/explain",
        "GET /admin/v1/audit",
    }


def test_the_document_of_tips_is_printed_without_any_server() -> None:
    assert printed_title("tips") == "tips"
