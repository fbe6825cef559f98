"""What the services offer: every operation under their addresses for people, read from a file that is made of their OpenAPI documents.

``operations.json`` stands beside this module; ``operations_of`` makes each service's part of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

SERVICES = ("webhook-gateway", "orchestrator", "tips", "refunds", "notifier")
OF_A_CHANGE = ("dry_run", "reason", "plan", "after", "ids", "filter", "limit", "expected_version")
"""Fields that every change has in common: a person is never asked for them as for the others."""
_METHODS = ("get", "post", "put", "delete")
_PAGES = ("/admin/v1/", "/orders/v1/", "/refunds/v1/", "/tips/v1/")
_KEPT = ("enum", "minimum", "maximum", "minLength", "maxLength", "format", "pattern", "description", "default")


@dataclass(frozen=True, slots=True)
class Field:
    """A value that an operation takes. ``type`` as JSON Schema names it; of several types the first."""

    name: str
    type: str
    required: bool
    rules: Mapping[str, Any]

    @property
    def choices(self) -> tuple[str, ...]:
        """The only values there are, when they are named."""
        return tuple(str(value) for value in self.rules.get("enum", ()))


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address. ``role`` is the least that may call it. ``filter`` holds what a bulk change is chosen by."""

    service: str
    method: str
    path: str
    role: str
    summary: str
    query: tuple[Field, ...]
    body: tuple[Field, ...]
    filter: tuple[Field, ...]

    @property
    def fields(self) -> tuple[Field, ...]:
        """What a person fills in: the body without what all changes have."""
        return tuple(field for field in self.body if field.name not in OF_A_CHANGE)

    def takes(self, name: str) -> bool:
        """Tell whether the body has a field of this name."""
        return any(field.name == name for field in self.body)

    def is_for(self, role: str) -> bool:
        """Tell whether somebody of this role may call it, as far as the role goes."""
        ladder = ("viewer", "operator", "admin")
        return role in ladder[ladder.index(self.role) :] if self.role in ladder else role == self.role

    @property
    def most_at_once(self) -> int | None:
        """The most things that one plan of a bulk change takes; None where it says no limit."""
        return next((field.rules.get("maximum") for field in self.body if field.name == "limit"), None)


@cache
def operations() -> Mapping[tuple[str, str, str], Operation]:
    """Return all operations by service, method and path."""
    kept = json.loads(Path(__file__).with_name("operations.json").read_text(encoding="utf-8"))
    return {
        (service, *line.split(" ")): _operation(service, line, described)
        for service, lines in kept.items()
        for line, described in lines.items()
    }


def operation(service: str, line: str) -> Operation:
    """Return one operation by its line (``POST /admin/v1/…``). ``KeyError`` when the service does not offer it."""
    method, path = line.split(" ")
    return operations()[service, method, path]


def role_for(service: str, method: str, path: str) -> str | None:
    """Return the role that a call needs, by the address as it was called; None where the service is not known to offer it."""
    asked = path.split("/")
    for (owner, verb, known), offered in operations().items():
        places = known.split("/")
        if (owner, verb, len(places)) == (service, method, len(asked)) and all(
            place == part or place.startswith("{") for place, part in zip(places, asked, strict=True)
        ):
            return offered.role or None
    return None


def filled(path: str, **values: object) -> str:
    """Write values into the places of a path, whatever characters they hold."""
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", quote(str(value), safe=""))
    return path


def operations_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of an OpenAPI document: the operations that people use, by line. Pure; the same document gives the same."""
    kept: dict[str, Any] = {}
    for path, methods in sorted(document["paths"].items()):
        if path.startswith(_PAGES):
            for method in _METHODS:
                if method in methods:
                    kept[f"{method.upper()} {path}"] = _described(methods[method], document)
    return kept


def _described(found: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    query = [each for each in found.get("parameters", ()) if each["in"] == "query"]
    schema = found.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    body = _resolved(schema, document)
    properties: Mapping[str, Any] = body.get("properties", {})
    choice = _resolved(properties.get("filter", {}), document).get("properties", {})
    return {
        "role": _role(found),
        "summary": found.get("summary", ""),
        "query": [
            _kept(each["name"], each["schema"], required=bool(each.get("required")), document=document)
            for each in query
        ],
        "body": [
            _kept(name, schema, required=name in body.get("required", ()), document=document)
            for name, schema in properties.items()
        ],
        "filter": [_kept(name, schema, required=False, document=document) for name, schema in choice.items()],
    }


def _role(found: Mapping[str, Any]) -> str:
    said = str(found.get("description", ""))
    return next((role for role in ("admin", "operator", "viewer", "internal") if f"Role: {role}" in said), "")


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow references, and of alternatives the first that is not null."""
    if "$ref" in schema:
        return _resolved(document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], document)
    if "anyOf" in schema:
        real = [each for each in schema["anyOf"] if each.get("type") != "null"]
        return {**schema, **_resolved(real[0], document)} if real else schema
    return schema


def _kept(name: str, schema: Mapping[str, Any], *, required: bool, document: Mapping[str, Any]) -> dict[str, Any]:
    found = _resolved(schema, document)
    rules = {rule: found[rule] for rule in _KEPT if found.get(rule) is not None}
    return {"name": name, "type": found.get("type", "object"), "required": required, "rules": rules}


def _operation(service: str, line: str, described: Mapping[str, Any]) -> Operation:
    method, path = line.split(" ")
    parts = {part: tuple(Field(**each) for each in described[part]) for part in ("query", "body", "filter")}
    return Operation(service, method, path, described["role"], described["summary"], **parts)
