"""Every read that answers customers' data says so, and that they can be had masked (that they are: ``tests/e2e``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.contract.surface.observed import SERVICES, stored


def holds_customers(schema: Any, schemas: Mapping[str, Any], seen: frozenset[str] = frozenset()) -> bool:
    """Tell whether a schema leads to a field that is marked."""
    if isinstance(schema, list):
        return any(holds_customers(part, schemas, seen) for part in schema)
    if not isinstance(schema, dict):
        return False
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if name and name not in seen:
        return holds_customers(schemas[name], schemas, seen | {name})
    return schema.get("x-customer-data") is True or any(
        holds_customers(part, schemas, seen) for part in schema.values()
    )


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every operation by its line."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


@pytest.mark.parametrize("package", SERVICES)
def test_what_answers_customers_data_names_the_header_that_masks_them(package: str) -> None:
    document = stored(package)["openapi"]
    schemas = document["components"]["schemas"]
    named, holding = set(), set()
    for line, operation in operations(document):
        if any(each["name"] == "Customer-Data" for each in operation.get("parameters", ())):
            named.add(line)
        answers = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        if operation.get("security") and holds_customers(answers, schemas):
            holding.add(line)
    assert named == holding
    assert bool(named) == (package != "tips")
