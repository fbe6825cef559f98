"""Every operation that changes something asks why, and takes nothing that it does not know: by the documents of all services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.contract.surface.observed import SERVICES, stored

OF_OTHER_SYSTEMS = {
    "POST /alerts/v1/alertmanager",
    "POST /alerts/v1/sentry",
    "POST /api/v1/orders/",
    "POST /tips/v1/set-tips-sum",
}
"""Whose senders may add fields: nobody rehearses there, and a release may be older than its caller."""
OTHERWISE = {
    "POST /admin/v1/routes/dry-run": "a question",
    "POST /admin/v1/tickets/{key}/comments": "the remark is the reason",
}
"""Where no reason is asked for."""


def with_token(operation: Mapping[str, Any]) -> bool:
    """Whether it asks for a token of the suite, and for no other proof."""
    return any(proof.keys() == {"bearer"} for proof in operation.get("security", ()))


def bodies(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every body that a caller with a token sends, by its operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if with_token(operation) and "requestBody" in operation:
                yield f"{method.upper()} {path}", operation["requestBody"]["content"]["application/json"]["schema"]


def objects(schema: Any, schemas: Mapping[str, Any], seen: frozenset[str] = frozenset()) -> Iterator[Mapping[str, Any]]:
    """Every object with fields of its own that a body may hold."""
    if isinstance(schema, list):
        for part in schema:
            yield from objects(part, schemas, seen)
    elif isinstance(schema, dict):
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen:
            yield from objects(schemas[name], schemas, seen | {name})
        if "properties" in schema:
            yield schema
            schema = {**schema, "properties": list(schema["properties"].values())}
        for part in schema.values():
            yield from objects(part, schemas, seen)


@pytest.mark.parametrize("package", SERVICES)
def test_every_change_needs_a_reason_and_refuses_fields_that_it_does_not_know(package: str) -> None:
    document = stored(package)["openapi"]
    schemas = document["components"]["schemas"]
    without_reason, lenient = set(), set()
    for line, schema in bodies(document):
        body = schemas[schema["$ref"].rpartition("/")[2]]
        if "reason" not in body.get("required", ()) or body["properties"]["reason"].get("minLength") != 3:
            without_reason.add(line)
        for part in objects(schema, schemas):
            if part.get("additionalProperties") is not False:
                lenient.add((line, part.get("title")))
    assert without_reason <= OF_OTHER_SYSTEMS | OTHERWISE.keys()
    assert {each for each in lenient if each[0] not in OF_OTHER_SYSTEMS} == set()


@pytest.mark.parametrize("package", SERVICES)
def test_every_operation_with_a_token_documents_that_it_refuses_unknown_parameters(package: str) -> None:
    for path, methods in stored(package)["openapi"]["paths"].items():
        for method, operation in methods.items():
            strict = "422" in operation["responses"]
            assert strict or not with_token(operation), f"{method.upper()} {path}"
