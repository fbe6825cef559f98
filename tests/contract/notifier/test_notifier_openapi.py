"""The OpenAPI document holds: schemathesis finds no 5xx and no answer that the document does not allow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from tests.support.openapi_calls import ADMIN, MACHINE, bearer, call_every_operation, printed_title, serving


@pytest.fixture
async def notifier_url(
    database_for: Callable[[str], Awaitable[str]], amqp_url: str, tmp_path: Path
) -> AsyncIterator[str]:
    """The address of a notifier process. No channel is configured."""
    async with serving("notifier", tmp_path, POSTGRES_DSN=await database_for("notifier"), AMQP_URL=amqp_url) as url:
        yield url


def headers_for(path: str) -> dict[str, str]:
    """Those of somebody who may."""
    return bearer(MACHINE if path.startswith("/alerts/") else ADMIN)


async def test_no_operation_breaks_its_own_document(notifier_url: str) -> None:
    tested = await asyncio.to_thread(partial(call_every_operation, notifier_url, headers_for, examples=12))
    assert {"POST /alerts/v1/alertmanager", "POST /admin/v1/incidents/{id}/ack", "GET /admin/v1/notifications"} <= set(
        tested
    )


def test_the_document_is_printed_without_any_server() -> None:
    assert printed_title("notifier") == "notifier"
