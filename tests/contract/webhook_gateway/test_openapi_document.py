"""The OpenAPI document holds: schemathesis finds no 5xx and no answer that the document does not allow."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from pydantic import SecretStr
from schemathesis.checks import CHECKS

from common.service import running
from tests.support.openapi_calls import EXAMPLES
from tests.support.servers import TestDatabases, TestRabbit
from webhook_gateway.app import build
from webhook_gateway.settings import Settings

CHOSEN = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")


@pytest.fixture(scope="module")
def gateway_url(
    databases: TestDatabases, rabbit: TestRabbit, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A gateway in a thread with a loop of its own: schemathesis calls it synchronously."""
    directory = tmp_path_factory.mktemp("gateway")
    tokens = directory / "tokens.json"
    tokens.write_text(json.dumps({"tokens": [{"name": "admin", "token": "admin-token", "role": "admin"}]}))
    sources = directory / "sources.json"
    sources.write_text(json.dumps({"sbermarket": {"auth": {"kind": "client_token", "tokens": ["token"]}}}))
    up, down = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    urls: list[str] = []

    async def serve() -> None:
        async with databases.migrated("webhook_gateway") as dsn, rabbit.virtual_host() as amqp_url:
            chosen = Settings(
                port=0,
                postgres_dsn=SecretStr(dsn),
                amqp_url=SecretStr(amqp_url),
                tokens_file=tokens,
                sources_file=sources,
                spool_dir=Path(directory / "spool"),
                replica="gw-contract",
            )
            async with running(build, chosen) as application:
                urls.append(application.url)
                up.set()
                await down.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="gateway")
    thread.start()
    assert up.wait(60)
    yield urls[0]
    loop.call_soon_threadsafe(down.set)
    thread.join(30)
    loop.close()


@pytest.fixture(scope="module")
def document(gateway_url: str) -> Any:
    """The document as it is served."""
    return schemathesis.openapi.from_url(gateway_url + "/openapi.json")


# The gateway runs in this very process, and its background tasks draw jitter while hypothesis generates.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
def test_no_operation_breaks_its_own_document(document: Any) -> None:
    headers = {"Authorization": "Bearer admin-token", "Client-token": "token"}
    checks = [CHECKS.get_one(name) for name in CHOSEN]
    tested = []
    # Not schemathesis' own pytest fixture: it reaches for an attribute that this pytest's items no longer have.
    for found in document.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        def call(case: Any) -> None:
            case.call_and_validate(headers=headers, checks=checks)

        call()
        tested.append(operation.label)
    assert len(tested) >= 13


def test_the_document_is_valid_openapi(document: Any) -> None:
    validate(document.raw_schema)
    assert {
        "/hooks/v1/{source}",
        "/sbermarket/orders/hook/",
        "/api/v1/orders/",
        "/admin/v1/deliveries",
        "/admin/v1/deliveries/{id}",
        "/admin/v1/deliveries/{id}/replay",
        "/admin/v1/endangered-orders",
        "/admin/v1/endangered-orders/{id}/mend",
        "/admin/v1/endangered-orders/{id}/resubmit",
        "/admin/v1/endangered-orders/{id}/report",
        "/admin/v1/endangered-orders/{id}/close",
        "/admin/v1/ledger",
        "/admin/v1/countdowns",
        "/admin/v1/unarrived-orders",
        "/admin/v1/deliveries/{id}/dismiss",
        "/admin/v1/audit",
    } <= set(document.raw_schema["paths"])
