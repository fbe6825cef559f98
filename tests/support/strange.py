"""Well-formed messages that nobody would send: each place of a sound one holds, in turn, each odd value of its kind."""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

import aio_pika

from common.contracts.envelope import CONTENT_TYPE, Envelope, exchange_of
from common.ids import new_id
from tests.support.hook_fuzz import TOKENS
from tests.support.servers import eventually

TEXTS = (
    "",
    "\x00",
    "a\x00b",
    "\u202e\ufeff\u0007\x1b[31m",
    "н" * 10_000,
    "../a b.c/%00?#",
    "1e999",
    "9" * 400,
    "😀" * 500,
)
NUMBERS = (0, -1, 2**31, 2**63 - 1, 2**63, -(2**63), 10**30)
MOMENT = "2026-11-21T10:00:00Z"
_SHOWN = 40
MOMENTS = (
    "0001-01-01T00:00:00+14:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-12:00",
    "9999-12-31T23:59:59.999999Z",
)
BEYOND = {repr(str(odd)[-_SHOWN:]) for odd in (*MOMENTS, *NUMBERS[4:])}
_LONG = 10_000
Call = Callable[[str, str, bytes], Awaitable[tuple[int, Any]]]
"""Sends a method, a path and a body; returns status and JSON."""


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every place of a document, with what is there."""
    if path:
        yield path, document
    inside = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, value in inside:
        yield from places(value, (*path, name))


def odd_values(value: Any) -> tuple[Any, ...]:
    """Values of the kind of one, which a reader of that kind takes."""
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int | float):
        return NUMBERS
    if isinstance(value, str):
        is_moment = value[:4].isdigit() and "T" in value
        return (*MOMENTS, value) if is_moment else TEXTS
    if isinstance(value, list):
        return ([], value * 2, value * _LONG)
    if isinstance(value, dict):
        return ({}, {**value, "a" * 5_000: "b", "\x00": "\x00"})
    return ()


def strange(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the document would be with one odd value, and what that is called."""
    for path, value in places(document):
        for odd in odd_values(value):
            changed = copy.deepcopy(document)
            inside: Any = changed
            for step in path[:-1]:
                inside = inside[step]
            inside[path[-1]] = odd
            yield f"{'.'.join(map(str, path))}={str(odd)[-_SHOWN:]!r}", changed


def foreseen(what: str, *words: str) -> bool:
    """Whether it is no wonder that this is not carried out: no table holds it, or it is none of the ``words`` that stand in that place."""
    place, _, odd = what.partition("=")
    return "\\x00" in odd or odd in BEYOND or any(place.endswith(word) for word in words)


def strange_bodies(document: dict[str, Any]) -> list[bytes]:
    """The document with each piece of JSON text that no library writes in each of its places, and texts that are strange as a whole."""
    sound, mark, found = json.dumps(document), "a mark", []
    for path, _ in places(document):
        changed = copy.deepcopy(document)
        inside: Any = changed
        for step in path[:-1]:
            inside = inside[step]
        inside[path[-1]] = mark
        text = json.dumps(changed)
        found += [text.replace(f'"{mark}"', token) for token in TOKENS]
    twice = sound[:-1] + "".join(f", {json.dumps(name)}: {json.dumps(value)}" for name, value in document.items()) + "}"
    found += ["", "[]", "null", "{}", "\ufeff" + sound, sound + sound, twice, sound[:-1]]
    odd = [json.dumps(changed) for _, changed in strange(document)]
    return [text.encode() for text in (*found, *odd)] + [sound.encode("utf-16"), b"\xff" + sound.encode()]


async def publish_strange(amqp_url: str, sound: Iterable[Envelope]) -> dict[str, str]:
    """Publish each event with one odd value in its data, in turn, under ids of their own; returns what each is, by its id."""
    published: dict[str, str] = {}
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        for event in sound:
            exchange = await channel.get_exchange(exchange_of(event.type))
            document = json.loads(event.encode())
            for what, data in strange(document["data"]):
                event_id = new_id()
                published[event_id] = f"{event.type}: {what}"
                body = json.dumps({**document, "id": event_id, "data": data}).encode()
                await exchange.publish(aio_pika.Message(body, content_type=CONTENT_TYPE), routing_key=event.type)
    return published


async def decided(
    published: Mapping[str, str], fetch: Callable[[str], Awaitable[Any]], *, within: float = 120.0
) -> dict[str, str]:
    """Wait until each of the events has taken effect or is a dead letter; returns the errors of the latter by what they are."""

    async def all_are() -> dict[str, str]:
        rows = await fetch("SELECT event_id FROM inbox")
        taken = {row["event_id"].partition(":")[0] for row in rows}  # some are known by more than their id
        dead = {row["event_id"]: row["error"] for row in await fetch("SELECT event_id, error FROM dead_letters")}
        left = [what for event_id, what in published.items() if event_id not in taken and event_id not in dead]
        assert left == [], f"{len(left)} of {len(published)} are not decided"
        return {what: dead[event_id] for event_id, what in published.items() if event_id in dead} or {"": ""}

    return {what: error for what, error in (await eventually(all_are, within=within)).items() if what}


def made_of(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Any:
    """Something that fits a schema of an OpenAPI document about as well as a careful caller's: every property is there."""
    if "$ref" in schema:
        return made_of(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    for name in ("anyOf", "oneOf", "allOf"):
        if name in schema:
            return made_of(next(each for each in schema[name] if each.get("type") != "null"), document)
    for name in ("const", "default"):
        if schema.get(name) is not None:
            return schema[name]
    if sample := schema.get("examples") or schema.get("enum"):
        return sample[0]
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        made = {name: made_of(each, document) for name, each in schema.get("properties", {}).items()}
        return made or {"a": "b"}
    if kind == "array":
        return [made_of(schema.get("items", {}), document)]
    if kind in {"integer", "number"}:
        return max(1, schema.get("minimum", 1))
    if kind == "boolean":
        return True
    return MOMENT if schema.get("format") == "date-time" else "x" * max(8, schema.get("minLength", 0))


async def faults_of(call: Call, document: Mapping[str, Any], **names: object) -> list[str]:
    """Rehearse every change that an OpenAPI document has with each odd value in its body; returns which are answered without a code.

    ``names`` are what stands in the addresses: ``id=1``.
    """
    found = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if schema is None or not path.startswith("/admin"):
                continue
            body = made_of(schema, document)
            where = path
            for name, value in names.items():
                where = where.replace(f"{{{name}}}", str(value))
            for what, odd in strange({**body, "dry_run": True} if "dry_run" in body else body):
                status, answer = await call(method.upper(), where, json.dumps(odd).encode())
                if status >= 500 or (status >= 400 and not answer.get("code")):
                    found.append(f"{method} {path} {what}: {status}")
    return found
