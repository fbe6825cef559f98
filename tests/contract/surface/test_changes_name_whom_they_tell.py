"""Every change that a person makes answers, rehearsed or carried out, which messages to people follow from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.contract.surface.observed import stored

_CHANGES = ("post", "put", "patch", "delete")
_ASKS = {"POST /admin/v1/routes/dry-run"}
"""Changes nothing, whatever its method."""


@pytest.mark.parametrize("package", ["webhook_gateway", "orchestrator", "tips", "refunds", "notifier"])
def test_the_answer_to_every_change_names_its_notices(package: str) -> None:
    document = stored(package)["openapi"]
    silent = [line for line, answers in changes(document) if not all(names_notices(one, document) for one in answers)]
    assert silent == []


def changes(document: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Each operation that people change something by: its line, and the schemas of its good answers."""
    for path, methods in document["paths"].items():
        for method in _CHANGES:
            if method not in methods:
                continue
            line, operation = f"{method.upper()} {path}", methods[method]
            if line not in _ASKS and (path.startswith("/admin/v1/") or rehearses(operation, document)):
                good = {code: answer for code, answer in operation["responses"].items() if code.startswith("2")}
                yield line, [answer["content"]["application/json"]["schema"] for answer in good.values()]


def rehearses(operation: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Whether it takes ``dry_run``."""
    bodies = operation.get("requestBody", {}).get("content", {}).values()
    return any("dry_run" in resolved(body["schema"], document).get("properties", {}) for body in bodies)


def names_notices(schema: Any, document: Mapping[str, Any]) -> bool:
    """Whether the answer has ``notices``, or each of its items has."""
    fields = resolved(schema, document).get("properties", {})
    if "notices" not in fields and "items" in fields:
        fields = resolved(fields["items"]["items"], document)["properties"]
    return "notices" in fields and resolved(fields["notices"], document)["type"] == "array"


def resolved(schema: Any, document: Mapping[str, Any]) -> Any:
    """The schema itself where there is a reference to it."""
    reference = schema.get("$ref")
    return document["components"]["schemas"][reference.rpartition("/")[2]] if reference else schema


def test_there_are_changes_to_look_at() -> None:
    counted = {package: len(list(changes(stored(package)["openapi"]))) for package in ("webhook_gateway", "refunds")}
    assert min(counted.values()) > 10, counted
