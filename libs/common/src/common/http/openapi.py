"""The OpenAPI 3.1 document of a service, made from its routes and their pydantic models."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from common.errors import Forbidden, InvalidInput, OutOfScope, SuiteError, Unauthorized, Unprocessable
from common.http.customers import HEADER as CUSTOMER_DATA_HEADER
from common.http.customers import shows_customers
from common.http.deadline import TIMEOUT_HEADER
from common.http.idempotency import IdempotencyKeyReused
from common.http.problems import Problem, UnknownParameter, UnsupportedMediaType, status_of
from common.http.routes import BEARER, KEY_CHARACTERS, LONGEST_KEY, Route, responses_of

Schema = dict[str, Any]

_REF = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::((?:[^{}]|\{[^{}]*\})+))?\}")
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_ECHO = {
    "X-Request-Id": {"description": "the request's id, taken or made", "schema": {"type": "string"}},
    "traceparent": {"description": "W3C trace context of the answer", "schema": {"type": "string"}},
}


def openapi_document(*, service: str, version: str, description: str, routes: Sequence[Route]) -> dict[str, Any]:
    """Return the document. Routes marked ``hidden`` are left out. Deterministic: the same routes give the same document."""
    shown = [route for route in routes if not route.hidden]
    schemas, references = _schemas(shown)
    paths: dict[str, dict[str, Any]] = {}
    for route in shown:
        path = _PARAMETER.sub(lambda match: "{" + match.group(1) + "}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(service, route, references, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": service, "version": version, "description": description},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                proof.name: dict(proof.scheme)
                for proof in (BEARER, *(each for route in shown for each in route.proofs))
            },
        },
    }


def _schemas(routes: Sequence[Route]) -> tuple[dict[str, Schema], dict[tuple[type[BaseModel], JsonSchemaMode], Schema]]:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(Problem, "serialization"): None}
    for route in routes:
        if route.request is not None:
            wanted[route.request, "validation"] = None
        if route.query is not None:
            wanted[route.query, "validation"] = None
        for model in responses_of(route).values():
            if model is not None:
                wanted[model, "serialization"] = None
    references, definitions = models_json_schema(list(wanted), ref_template=_REF)
    schemas: dict[str, Schema] = definitions.get("$defs", {})
    return schemas, {key: references[key] for key in wanted}


def _operation(
    service: str,
    route: Route,
    references: Mapping[tuple[type[BaseModel], JsonSchemaMode], Schema],
    schemas: Mapping[str, Schema],
) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": route.summary, "operationId": _operation_id(route)}
    if description := _description(route):
        operation["description"] = description
    if route.tags:
        operation["tags"] = list(route.tags)
    parameters = [*_path_parameters(route), *_query_parameters(route, references, schemas)]
    if route.idempotent:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "the same key with the same request gives the same answer, once done",
                "schema": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": LONGEST_KEY,
                    "pattern": f"^{KEY_CHARACTERS}+$",
                },
            }
        )
    if route.tagged:
        parameters.append(
            {
                "name": "If-None-Match",
                "in": "header",
                "required": False,
                "description": "an `ETag` of this address; 304 when the answer is still the same",
                "schema": {"type": "string"},
            }
        )
    if shows_customers(route):
        parameters.append(
            {
                "name": CUSTOMER_DATA_HEADER,
                "in": "header",
                "required": False,
                "description": "`masked`: customers' data as viewers see them, whoever asks; no reading of them is recorded",
                "schema": {"type": "string", "enum": ["masked"]},
            }
        )
    if route.timed:
        parameters.append(
            {
                "name": TIMEOUT_HEADER,
                "in": "header",
                "required": False,
                "description": "milliseconds that the caller waits; past them the answer is 503. What is no such number is ignored",
                "schema": {"type": "integer", "minimum": 1},
            }
        )
    if parameters:
        operation["parameters"] = parameters
    if route.request is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": references[route.request, "validation"]}},
        }
    operation["responses"] = _answers(route, references)
    proofs = route.proofs if route.roles is None else (BEARER,)
    if proofs:
        scope = route.scope(service)
        operation["security"] = [{proof.name: [scope] if proof is BEARER and scope else []} for proof in proofs]
    return operation


def _description(route: Route) -> str:
    text = route.description
    if route.roles:
        text = f"{text}\n\nRole: {' or '.join(sorted(route.roles))}.".strip()
    return text


def _operation_id(route: Route) -> str:
    words = re.findall(r"[A-Za-z0-9]+", _PARAMETER.sub(r"\1", route.path))
    return "_".join([route.method.lower(), *words])


def _path_parameters(route: Route) -> list[Schema]:
    parameters = []
    for name, pattern in _PARAMETER.findall(route.path):
        schema: Schema = {"type": "string", "minLength": 1}
        if pattern:
            schema["pattern"] = f"^(?:{pattern})$"
        parameters.append({"name": name, "in": "path", "required": True, "schema": schema})
    return parameters


def _query_parameters(
    route: Route, references: Mapping[tuple[type[BaseModel], JsonSchemaMode], Schema], schemas: Mapping[str, Schema]
) -> list[Schema]:
    if route.query is None:
        return []
    model = schemas[references[route.query, "validation"]["$ref"].rpartition("/")[2]]
    required = set(model.get("required", ()))
    parameters = []
    for name, schema in model.get("properties", {}).items():
        parameter = {"name": name, "in": "query", "required": name in required, "schema": _without_null(schema)}
        if "description" in schema:
            parameter["description"] = schema["description"]
        parameters.append(parameter)
    return parameters


def _without_null(schema: Schema) -> Schema:
    """A query string cannot say null: an optional parameter is one that may be left out."""
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key not in {"anyOf", "title", "description"}}
    if rest.get("default", ...) is None:
        del rest["default"]
    if len(options) == 1:
        return {**rest, **options[0]}
    return {**rest, "anyOf": options} if options else rest


def _answers(route: Route, references: Mapping[tuple[type[BaseModel], JsonSchemaMode], Schema]) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for status, model in responses_of(route).items():
        answer: dict[str, Any] = {"description": HTTPStatus(status).phrase, "headers": _ECHO}
        if route.tagged and status == HTTPStatus.OK:
            answer["headers"] = {**_ECHO, "ETag": {"description": "a weak digest", "schema": {"type": "string"}}}
        if model is not None:
            answer["content"] = {"application/json": {"schema": references[model, "serialization"]}}
        answers[str(status)] = answer
    for status, kinds in sorted(_errors(route).items()):
        codes = ", ".join(sorted({f"`{kind.code}`" for kind in kinds}))
        meaning = " ".join(sorted({inspect.cleandoc(kind.__doc__ or "").splitlines()[0] for kind in kinds}))
        answers.setdefault(
            str(status), {"description": f"{codes}: {meaning}", "headers": _error_headers(status), "content": _PROBLEM}
        )
    if route.tagged:
        answers.setdefault("304", {"description": HTTPStatus.NOT_MODIFIED.phrase, "headers": _ECHO})
    if route.request is not None:
        answers.setdefault("413", {"description": "The body is too large.", "headers": _ECHO, "content": _PROBLEM})
    answers["default"] = {"description": "Any other error.", "headers": _ECHO, "content": _PROBLEM}
    return answers


def _errors(route: Route) -> dict[int, list[type[SuiteError]]]:
    kinds = list(route.errors)
    if route.roles is not None:
        kinds.append(Unauthorized)
    if route.roles:
        kinds.append(Forbidden)
    if route.scope("") is not None:
        kinds.append(OutOfScope)
    if route.request is not None:
        kinds += [InvalidInput, UnsupportedMediaType]
        if route.invalid_status == HTTPStatus.UNPROCESSABLE_ENTITY:
            kinds.append(Unprocessable)
    if route.query is not None or route.idempotent:
        kinds.append(InvalidInput)
    if route.strict:
        kinds.append(UnknownParameter)
    if route.idempotent:
        kinds.append(IdempotencyKeyReused)
    by_status: dict[int, list[type[SuiteError]]] = {}
    for kind in kinds:
        by_status.setdefault(status_of(kind), []).append(kind)
    return by_status


def _error_headers(status: int) -> dict[str, Any]:
    headers = dict(_ECHO)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = {"description": "the scheme that is expected", "schema": {"type": "string"}}
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        headers["Retry-After"] = {"description": "seconds to wait", "schema": {"type": "integer", "minimum": 1}}
    return headers
