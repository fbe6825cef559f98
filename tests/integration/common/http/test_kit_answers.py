"""What the kit answers: every good request, and problem+json on every wrong one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from common.http import stamped_cursor

from .conftest import Demo

BASKET = {"items": [{"sku": "a", "quantity": 2}]}


def problem(
    status: int, code: str, title: str, detail: str, *, retryable: bool = False, fields: Any = ()
) -> dict[str, Any]:
    return {
        "type": f"urn:suite:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        "retryable": retryable,
        "request_id": "req-1",
        "fields": list(fields),
    }


async def refused(demo: Demo, method: str, path: str, **options: Any) -> tuple[dict[str, Any], Mapping[str, str]]:
    """Call with a fixed request id and return the problem and the headers; anything else is an error of the kit."""
    answer = await demo.call(method, path, headers={"X-Request-Id": "req-1", **options.pop("headers", {})}, **options)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-Id"] == "req-1"
    assert answer.headers["traceparent"].startswith("00-")
    document = answer.json()
    assert document["status"] == answer.status
    return document, answer.headers


async def test_a_model_is_answered_as_json_with_the_route_s_status(demo: Demo) -> None:
    answer = await demo.call("POST", "/orders", token="t-operator", json=BASKET, headers={"X-Request-Id": "req-1"})
    assert (answer.status, answer.headers["Content-Type"]) == (201, "application/json; charset=utf-8")
    assert answer.json() == {"lines": 1, "by": "olga", "request_id": "req-1"}


async def test_a_reply_carries_a_status_and_headers_of_its_own(demo: Demo) -> None:
    answer = await demo.call("POST", "/orders", token="t-admin", json=BASKET | {"note": "later"})
    assert (answer.status, answer.headers["Location"], answer.json()["by"]) == (202, "/orders/1", "anna")


async def test_a_handler_that_returns_nothing_answers_without_a_body(demo: Demo) -> None:
    answer = await demo.call("DELETE", "/orders", token="t-internal")
    assert (answer.status, answer.body) == (204, b"")


async def test_a_list_pages_by_cursor(demo: Demo) -> None:
    cursor = stamped_cursor("abc", "demo", "/orders")
    answer = await demo.call("GET", f"/orders?state=x&state=y&limit=3&cursor={cursor}", token="t-viewer")
    assert answer.json() == {"items": [{"sku": "x", "quantity": 3}, {"sku": "y", "quantity": 3}], "next_cursor": cursor}
    assert (await demo.call("GET", "/orders", token="t-viewer")).json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("token", [None, "wrong", "", "токен"])
async def test_without_a_valid_token_it_is_401_with_the_challenge(demo: Demo, token: str | None) -> None:
    document, headers = await refused(demo, "GET", "/orders", token=token)
    assert document == problem(401, "unauthorized", "Unauthorized", "a valid bearer token is needed")
    assert headers["WWW-Authenticate"] == 'Bearer realm="suite"'


@pytest.mark.parametrize(
    ("method", "path", "token"),
    [("POST", "/orders", "t-viewer"), ("POST", "/orders", "t-internal"), ("POST", "/internal", "t-admin")],
)
async def test_with_too_little_a_role_it_is_403(demo: Demo, method: str, path: str, token: str) -> None:
    document, _ = await refused(demo, method, path, token=token, json=BASKET)
    assert document == problem(403, "forbidden", "Forbidden", "this token's role may not do that")


async def test_who_may_not_call_learns_nothing_about_the_body(demo: Demo) -> None:
    document, _ = await refused(demo, "POST", "/orders", token="t-viewer", data=b"{")
    assert document["code"] == "forbidden"


@pytest.mark.parametrize(
    ("content", "document"),
    [
        (b"", problem(400, "invalid_input", "Bad Request", "a JSON body is needed")),
        (b"{", problem(400, "invalid_input", "Bad Request", "the body is not JSON")),
        (b"\xff\xfe", problem(400, "invalid_input", "Bad Request", "the body is not JSON")),
        (b'{"items": NaN}', problem(422, "unprocessable", "Unprocessable Entity", "the body does not fit",
            fields=[{"field": "items", "code": "list_type", "message": "Input should be a valid array"}])),
        (b'{"items": [{"sku": "a\\u0000", "quantity": 1}]}',
            problem(422, "unprocessable", "Unprocessable Entity", "the body holds a NUL character, which no text may")),
        (b'{"items": [{"sku": "a", "quantity": "+79161234567"}, {"quantity": 1}]}',
            problem(422, "unprocessable", "Unprocessable Entity", "the body does not fit", fields=[
                {"field": "items.0.quantity", "code": "less_than_equal", "message": "Input should be less than or equal to 1000"},
                {"field": "items.1.sku", "code": "missing", "message": "Field required"}])),
        (b"[]", problem(422, "unprocessable", "Unprocessable Entity", "the body does not fit",
            fields=[{"field": "", "code": "model_type", "message": "Input should be an object"}])),
    ],
)  # fmt: skip
async def test_an_invalid_body_is_answered_with_the_fields_at_fault_but_not_their_values(
    demo: Demo, content: bytes, document: dict[str, Any]
) -> None:
    headers = {"Content-Type": "application/json"}
    got, _ = await refused(demo, "POST", "/orders", token="t-operator", data=content, headers=headers)
    assert got == document
    assert "7916" not in str(got)


@pytest.mark.parametrize("blank", [" ", "\t\r\n", "\u00a0\u2003", "\u200b\u200d\ufeff", "\u202e"])
async def test_a_text_that_says_nothing_is_refused_wherever_it_stands(demo: Demo, blank: str) -> None:
    items = [{"sku": "a", "quantity": 1}, {"sku": blank, "quantity": 1}]
    document, _ = await refused(demo, "POST", "/orders", token="t-operator", json={"items": items, "note": blank})
    assert document["status"] == 422
    assert [(field["field"], field["code"]) for field in document["fields"]] == [
        ("items.1.sku", "blank"),
        ("note", "blank"),
    ]


async def test_a_route_may_answer_400_to_a_body_that_does_not_fit(demo: Demo) -> None:
    document, _ = await refused(demo, "POST", "/internal", token="t-internal", json={"items": []})
    assert (document["status"], document["code"], document["fields"][0]["field"]) == (400, "invalid_input", "items")


async def test_a_nul_character_is_answered_with_the_route_s_own_status(demo: Demo) -> None:
    document, _ = await refused(demo, "POST", "/internal", token="t-internal", json={"items": ["\0"]})
    assert (document["status"], document["code"]) == (400, "invalid_input")


async def test_an_escaped_backslash_before_u0000_is_no_nul(demo: Demo) -> None:
    answer = await demo.call("POST", "/orders", token="t-operator", json={"items": [{"sku": "\\u0000", "quantity": 1}]})
    assert answer.status == 201


async def test_another_media_type_is_415(demo: Demo) -> None:
    document, _ = await refused(demo, "POST", "/orders", token="t-operator", data={"a": "form"})
    assert document == problem(
        415, "unsupported_media_type", "Unsupported Media Type", "the body must be application/json"
    )


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_beyond_the_limit_is_413_counted_in_bytes_chunked_too(demo: Demo, chunked: bool) -> None:
    async def chunks() -> Any:
        for _ in range(70):
            yield b"x" * 1024

    data = chunks() if chunked else b"x" * (64 * 1024 + 1)
    headers = {"Content-Type": "application/json"}
    document, _ = await refused(demo, "POST", "/orders", token="t-operator", data=data, headers=headers)
    assert (document["status"], document["code"]) == (413, "payload_too_large")
    assert document["title"] == document["detail"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("since=-1", "since"),
        ("cursor=" + "x" * 1025, "cursor"),
    ],
)
async def test_a_wrong_query_is_400_with_the_field(demo: Demo, query: str, field: str) -> None:
    document, _ = await refused(demo, "GET", f"/orders?{query}", token="t-viewer")
    assert (document["status"], document["detail"]) == (400, "the query does not fit")
    assert [each["field"] for each in document["fields"]] == [field]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("limit=1&limit=2", "the query parameter 'limit' is given twice"),
        ("state=%00", "the query parameter 'state' holds a character that is not text"),
    ],
)
async def test_a_query_that_cannot_be_meant_is_400(demo: Demo, query: str, detail: str) -> None:
    document, _ = await refused(demo, "GET", f"/orders?{query}", token="t-viewer")
    assert document == problem(400, "invalid_input", "Bad Request", detail)


@pytest.mark.parametrize(
    "path", ["/orders/a/x", "/orders/a/-1", "/orders/a/9223372036854775808", "/orders/a%00b/1", "/nowhere", "/orders/"]
)
async def test_what_cannot_exist_is_404(demo: Demo, path: str) -> None:
    document, _ = await refused(demo, "GET", path)
    assert (document["status"], document["code"]) == (404, "not_found")


async def test_path_parameters_arrive_decoded(demo: Demo) -> None:
    answer = await demo.call("GET", "/orders/%D1%91%2Fb/9223372036854775806")
    assert answer.json() == {"sku": "ё/b", "number": 2**63 - 2}
    document, _ = await refused(demo, "GET", "/orders/a/9223372036854775807")  # there would be no room for one more
    assert document["status"] == 404


async def test_another_method_is_405_and_says_which_are_allowed(demo: Demo) -> None:
    document, headers = await refused(demo, "PATCH", "/orders")
    assert document == problem(405, "method_not_allowed", "Method Not Allowed", "Method Not Allowed")
    assert set(headers["Allow"].split(",")) == {"DELETE", "GET", "HEAD", "POST"}


@pytest.mark.parametrize(
    ("kind", "document", "retry_after"),
    [
        ("conflict", problem(409, "conflict", "Conflict", "already closed"), None),
        ("busy", problem(429, "too_many_requests", "Too Many Requests", "too often", retryable=True), "8"),
        ("away", problem(503, "unavailable", "Service Unavailable", "the database does not answer", retryable=True), "1"),
        ("timeout", problem(503, "unavailable", "Service Unavailable",
            "something needed does not answer in time; try again", retryable=True), "1"),
        ("connection", problem(503, "unavailable", "Service Unavailable",
            "something needed does not answer in time; try again", retryable=True), "1"),
        ("bug", problem(500, "internal_error", "Internal Server Error", "an unexpected error; it has been reported"), None),
        ("file", problem(500, "internal_error", "Internal Server Error", "an unexpected error; it has been reported"), None),
        ("group", problem(500, "internal_error", "Internal Server Error", "an unexpected error; it has been reported"), None),
        ("teapot", problem(409, "bad_request", "Conflict", "Conflict"), None),
    ],
)  # fmt: skip
async def test_an_exception_becomes_the_answer_that_the_table_gives(
    demo: Demo, kind: str, document: dict[str, Any], retry_after: str | None
) -> None:
    got, headers = await refused(demo, "GET", f"/fail/{kind}")
    assert got == document
    assert headers.get("Retry-After") == retry_after


async def test_an_unexpected_exception_is_logged_with_its_stack_and_without_personal_data(
    demo: Demo, log_lines: Any
) -> None:
    await refused(demo, "GET", "/fail/bug")
    lines = log_lines()
    assert [(line["event"], line["level"], line["route"]) for line in lines] == [
        ("http_request_failed", "error", "/fail/{kind:[a-z]+}"),
        ("http_request", "info", "/fail/{kind:[a-z]+}"),
    ]
    assert "in failing" in lines[0]["exception"]
    assert lines[0]["exception"].endswith("KeyError: '[masked]'")


async def test_a_raw_route_gets_the_request_untouched_and_the_edge_around_it(demo: Demo) -> None:
    answer = await demo.call("POST", "/raw", data=b"\x00\xff" * 10)
    trace = answer.headers["traceparent"].split("-")[1]
    assert (answer.status, answer.json()) == (200, {"bytes": 20, "trace_id": trace})
    document, _ = await refused(demo, "POST", "/raw", data=b"x" * (64 * 1024 + 1))
    assert document["code"] == "payload_too_large"


async def test_an_answer_that_breaks_half_way_is_cut_and_the_server_goes_on(demo: Demo) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", demo.server.port)
    writer.write(b"GET /half HTTP/1.1\r\nHost: x\r\n\r\n")
    received = await reader.read()
    writer.close()
    assert received.endswith(b"\r\n\r\nhalf")
    assert (await demo.call("GET", "/livez")).status == 200


@pytest.mark.parametrize(
    "head", [b"\x16\x03\x01 nonsense\r\n\r\n", b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"]
)
async def test_what_is_not_http_is_a_problem_without_a_stack(demo: Demo, head: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", demo.server.port)
    writer.write(head)
    received = await reader.read()
    writer.close()
    headers, _, body = received.partition(b"\r\n\r\n")
    assert headers.startswith(b"HTTP/1.")
    assert b" 400 Bad Request" in headers
    document = json.loads(body)
    request_id = document.pop("request_id")
    assert f"X-Request-Id: {request_id}".encode() in headers
    expected = problem(400, "bad_request", "Bad Request", "the request is not well-formed HTTP")
    del expected["request_id"]
    assert document == expected
