"""What others rely on is what the last release has: addresses, messages, metrics, settings and tables change on purpose only.

After a change that is wanted, ``python -m tests.contract.surface`` stores what there is now; the difference belongs into the same commit.
Descriptions and summaries are not compared: ``python -m tests.contract.surface words`` prints them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from console.client.operations import operations_of
from tests.contract.console.offered import stored_operations, stored_types, types_of
from tests.contract.surface.observed import (
    ASYNCAPI,
    SANDBOX,
    SERVICES,
    asyncapi,
    differences,
    sandbox,
    stored,
    surface_of,
    without_words,
)
from tests.support.servers import TestDatabases


@pytest.mark.parametrize("package", SERVICES)
async def test_a_service_shows_what_the_snapshot_says(
    package: str, databases: TestDatabases, amqp_url: str, tmp_path: Path
) -> None:
    now = await surface_of(package, databases, amqp_url, tmp_path)
    assert differences(stored(package), without_words(now)) == []
    assert differences(stored_operations(package), operations_of(now["openapi"])) == []  # what the console has of it
    assert stored_types(package) == await asyncio.to_thread(types_of, package, now["openapi"])


async def test_the_messages_are_those_of_the_snapshot() -> None:
    assert differences(stored(ASYNCAPI), without_words(await asyncio.to_thread(asyncapi))) == []


def test_the_sandbox_answers_where_the_snapshot_says() -> None:
    assert differences(stored(SANDBOX), without_words(sandbox())) == []


def test_a_property_named_description_is_no_description() -> None:
    schema = {"description": "words", "properties": {"description": {"type": "string", "description": "words"}}}
    assert without_words(schema) == {"properties": {"description": {"type": "string"}}}


def test_every_difference_is_named_with_its_place() -> None:
    assert differences({"a": {"b": 1, "c": [1, 2]}}, {"a": {"b": 2, "c": [1]}, "d": 3}) == [
        "a/b: 1 -> 2",
        "a/c: [1, 2] -> [1]",
        "d: nothing -> 3",
    ]
