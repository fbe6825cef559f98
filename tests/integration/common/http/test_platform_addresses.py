"""The five addresses that every service has."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

import schemathesis
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from prometheus_client.parser import text_string_to_metric_families

from common.http import describe, openapi_document

from .conftest import ROUTES, Demo


async def test_alive_touches_no_dependency_and_ready_says_why_not(demo: Demo) -> None:
    async def away() -> None:
        raise OSError("no route to the broker")

    assert (await demo.call("GET", "/readyz")).json() == {"ready": True, "checks": {}}
    demo.health.add_check("broker", away)
    ready = await demo.call("GET", "/readyz")
    assert (ready.status, ready.json()) == (
        503,
        {"ready": False, "checks": {"broker": "OSError: no route to the broker"}},
    )
    live = await demo.call("GET", "/livez")
    assert (live.status, live.json()) == (200, {"status": "ok"})


async def test_a_draining_service_is_not_ready_and_lets_connections_go(demo: Demo) -> None:
    demo.health.start_draining()
    ready = await demo.call("GET", "/readyz")
    assert (ready.status, ready.json()) == (503, {"ready": False, "checks": {"service": "draining"}})
    assert ready.headers["Connection"] == "close"


def samples(text: bytes, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name == name
    }


async def test_requests_are_counted_by_route_template_and_exist_at_zero(demo: Demo) -> None:
    before = samples((await demo.call("GET", "/metrics")).body, "http_requests_total")
    assert before["POST", "/orders", "201"] == 0
    for number in range(3):
        await demo.call("GET", f"/orders/sku-{number}/{number}")
    await demo.call("GET", "/nowhere/79161234567")
    await demo.call("PROPFIND", "/livez")
    metrics = (await demo.call("GET", "/metrics")).body
    after = samples(metrics, "http_requests_total")
    assert after["GET", "/orders/{sku}/{number}", "200"] == 3
    assert after["GET", "unmatched", "404"] == 1
    assert after["other", "unmatched", "405"] == 1
    assert samples(metrics, "http_request_duration_seconds_count")["GET", "/orders/{sku}/{number}"] == 3
    assert b"79161234567" not in metrics
    assert samples(metrics, "process_start_time_seconds") or samples(metrics, "python_info")


async def test_the_document_is_openapi_3_1_and_names_everything(demo: Demo) -> None:
    document = (await demo.call("GET", "/openapi.json")).json()
    validate(document, cls=OpenAPIV31SpecValidator)
    assert sorted(document["paths"]) == [
        "/admin/v1/whoami", "/fail/{kind}", "/internal", "/livez", "/metrics", "/orders", "/orders/{sku}/{number}", "/readyz",
    ]  # fmt: skip
    post = document["paths"]["/orders"]["post"]
    assert sorted(post["responses"]) == ["201", "202", "400", "401", "403", "409", "413", "415", "422", "default"]
    assert post["security"] == [{"bearer": ["demo:orders"]}]
    assert document["paths"]["/orders"]["get"]["security"] == [{"bearer": ["demo:orders:read"]}]
    assert document["paths"]["/admin/v1/whoami"]["get"]["security"] == [{"bearer": []}]
    assert [parameter["name"] for parameter in post["parameters"]] == ["Idempotency-Key"]
    listed = document["paths"]["/orders"]["get"]
    assert sorted(listed["responses"]) == ["200", "304", "400", "401", "403", "422", "default"]
    assert "ETag" in listed["responses"]["200"]["headers"]
    assert {parameter["name"]: parameter["schema"] for parameter in listed["parameters"]} == {
        "If-None-Match": {"type": "string"},
        "count": {"type": "boolean", "default": False},
        "limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
        "cursor": {"type": "string", "maxLength": 1024},
        "state": {"type": "array", "items": {"type": "string", "minLength": 1}, "default": []},
        "since": {"type": "integer", "minimum": 0},
    }
    page = document["components"]["schemas"]["Page_Item_"]
    assert (page["required"], page["properties"]["next_cursor"]["anyOf"]) == (
        ["items", "next_cursor"],
        [{"type": "string"}, {"type": "null"}],
    )
    assert document["paths"]["/fail/{kind}"]["get"]["parameters"][0]["schema"]["pattern"] == "^(?:[a-z]+)$"
    assert "security" not in document["paths"]["/livez"]["get"]


def test_the_same_routes_give_the_same_document() -> None:
    def make() -> dict[str, Any]:
        return openapi_document(service="demo", version="1", description="", routes=ROUTES)

    assert make() == make()


async def test_the_docs_page_is_self_contained_and_loads_under_its_own_policy(demo: Demo) -> None:
    answer = await demo.call("GET", "/docs")
    page = answer.body.decode()
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert f"'sha256-{digest}'" in policy
    assert re.findall(r"(?:src|href)=\"(?!#|openapi\.json)[^\"]*\"|<script|style=|https?://", page) == []
    assert "/orders/{sku}/{number}" in page


async def test_quiet_and_platform_addresses_write_a_line_only_when_they_fail(
    demo: Demo, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/quiet/fine"):
        assert (await demo.call("GET", path)).status == 200
    assert (await demo.call("GET", "/quiet/conflict")).status == 409
    assert log_lines() == []
    assert (await demo.call("GET", "/quiet/away")).status == 503
    assert [(line["event"], line["route"], line["status"]) for line in log_lines()] == [
        ("http_request", "/quiet/{kind}", 503)
    ]


async def test_head_is_answered_wherever_get_is(demo: Demo) -> None:
    answer = await demo.call("HEAD", "/livez")
    assert (answer.status, answer.body) == (200, b"")


async def test_no_generated_request_meets_a_5xx_or_leaves_the_document(demo: Demo) -> None:
    """Schemathesis drives the real server with its own idea of good and bad requests."""
    document = (await demo.call("GET", "/openapi.json")).json()
    del document["paths"]["/fail/{kind}"]  # it fails on purpose
    listed = document["paths"]["/orders"]["get"]
    # No cursor can be made up: only what the list itself has given is taken.
    listed["parameters"] = [each for each in listed["parameters"] if each["name"] != "cursor"]
    loaded = schemathesis.openapi.from_dict(document)
    loaded.config.base_url = demo.server.url
    loaded.config.seed = 1  # steady, like the rest of the tests
    loaded.config.generation.max_examples = 15
    loaded.config.generation.allow_x00 = (
        False  # no text of PostgreSQL holds NUL; the kit refuses it, a test above shows
    )
    accepted = loaded.config.checks.positive_data_acceptance
    accepted.expected_statuses = [*accepted.expected_statuses, "422"]  # a text of controls alone says nothing
    loaded.config.headers = {"Authorization": "Bearer t-admin"}
    failures: list[str] = []

    def run() -> None:
        for event in schemathesis.engine.from_schema(loaded).execute():
            if isinstance(event, schemathesis.engine.events.ScenarioFinished):
                failures.extend(
                    f"{check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample}"
                    for checks in event.recorder.checks.values()
                    for check in checks
                    if check.failure_info is not None
                )
            if isinstance(event, schemathesis.engine.events.NonFatalError | schemathesis.engine.events.FatalError):
                failures.append(str(event))

    await asyncio.to_thread(run)
    assert failures == [], "\n\n".join(failures)


async def test_the_document_can_be_had_without_a_service(demo: Demo) -> None:
    served = (await demo.call("GET", "/openapi.json")).json()
    assert describe(service="demo", version="1.2.3", routes=ROUTES) == served
