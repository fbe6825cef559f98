"""From a route to what aiohttp calls: authorize, parse, call the handler, render the answer."""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Union, get_args, get_origin

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from common.errors import FieldError, Forbidden, InvalidInput, NotFound, OutOfScope, Unauthorized, Unprocessable
from common.http.auth import Principal, TokenBook, satisfying
from common.http.customers import CustomerReads, shows_customers
from common.http.etags import conditional
from common.http.fields import blank_texts
from common.http.pages import Page, PageQuery, stamped, unstamped, walked, with_count
from common.http.problems import UnknownParameter, UnsupportedMediaType, from_validation
from common.http.refused_calls import RefusedCalls
from common.http.routes import Answer, Reply, Request, Route
from common.telemetry import current_request_id, get_logger

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]

_MALFORMED = "json_invalid"
_log = get_logger()


def make_endpoint(
    route: Route, *, service: str, tokens: TokenBook, customers: CustomerReads, refused: RefusedCalls
) -> Endpoint:
    """Return the coroutine function that serves a route which is not raw."""
    changes = route.method != "GET"
    demanded = satisfying(route.roles) if route.roles is not None else None
    scope = route.scope(service)
    lists = _list_fields(route.query)
    known = _fields(route.query) if route.strict else None
    personal = shows_customers(route)
    handler: Any = route.handler
    has_parameters = "{" in route.path

    async def endpoint(raw: web.Request) -> web.StreamResponse:
        """Serve one request."""
        principal = None
        if demanded is not None:
            caller = await tokens.whose(said_by(raw))
            try:
                principal = _allowed(caller, demanded, scope)
            except (Unauthorized, Forbidden) as refusal:
                if changes:
                    operation = f"{route.method} {route.path}"
                    await refused.note(caller, operation, refusal, request_id=current_request_id() or "")
                raise
        path = _path(raw) if has_parameters else {}
        if known is not None and not known.issuperset(raw.query):
            raise _unknown(key for key in raw.query if key not in known)
        query = _query(route.query, raw, lists) if route.query is not None else None
        if isinstance(query, PageQuery):
            query = unstamped(query, service, raw.path)
        content = b""
        body = None
        if route.request is not None:
            _require_json(raw)
            content = await raw.read()
            body = _body(route.request, content, invalid_status=route.invalid_status)
            if demanded is not None and (blanks := [*blank_texts(body)]):
                raise _unfit(route.invalid_status)("the body holds texts that say nothing", fields=_blank(blanks))
        request: Request[Any, Any] = Request(
            raw=raw,
            route=route,
            service=service,
            principal=principal,
            body=body,
            query=query,
            path=path,
            content=content,
            request_id=current_request_id() or "",
        )
        if route.idempotent:
            _ = request.idempotency_key  # a malformed key is refused before anything is done
        answer = await handler(request)
        if isinstance(answer, Page) and answer.count is None and isinstance(query, PageQuery) and query.count:
            answer = await _counted(answer, request)
        if isinstance(answer, Page):
            answer = stamped(answer, service, raw.path)
        seen = 0
        if personal:
            if isinstance(answer, Reply) and answer.body is not None:
                body_shown, seen = customers.shown(request, answer.body)
                answer = replace(answer, body=body_shown)
            elif isinstance(answer, BaseModel):
                answer, seen = customers.shown(request, answer)
        response = render(answer, status=route.status)
        if route.tagged:
            response = conditional(raw, response)
        if seen and response.status != HTTPStatus.NOT_MODIFIED:
            await customers.record(request, seen)
        return response

    return endpoint


async def _counted(page: Page[Any], request: Request[Any, Any]) -> Page[Any]:
    handler: Any = request.route.handler
    if request.query.cursor is None and page.next_cursor is None:
        return with_count(page, len(page.items))
    return with_count(page, await walked(lambda query: handler(request.with_query(query)), request.query))


def said_by(raw: web.Request) -> str | None:
    """Return what a request says of who calls; None too where it says that twice: a proxy before us may have believed the other one."""
    given = raw.headers.getall("Authorization", [])
    return given[0] if len(given) == 1 else None


def authorize(raw: web.Request, *, tokens: TokenBook, demanded: frozenset[str], scope: str) -> Principal:
    """Return the caller, by the file of tokens.

    Raises ``Unauthorized`` without a valid one, ``Forbidden`` with too little a role, ``OutOfScope`` where the token is for other things.
    """
    return _allowed(tokens.from_header(said_by(raw)), demanded, scope)


def _allowed(principal: Principal | None, demanded: frozenset[str], scope: str | None) -> Principal:
    if principal is None:
        raise Unauthorized("a valid bearer token is needed")
    if demanded and principal.role not in demanded:
        _log.warning("caller_refused", caller=principal.name, role=principal.role, needs=sorted(demanded))
        raise Forbidden("this token's role may not do that")
    if scope is not None and not principal.within(scope):
        _log.warning("caller_refused", caller=principal.name, role=principal.role, needs=scope)
        lacking = FieldError(field=scope, code=OutOfScope.code, message="the token's scopes do not hold it")
        raise OutOfScope("this token is for other things", fields=(lacking,))
    return principal


def render(answer: Answer, *, status: int) -> web.StreamResponse:
    """Turn what a handler returned into an answer: a model as JSON, ``None`` as an empty body."""
    if isinstance(answer, web.StreamResponse):
        return answer
    headers = {"Cache-Control": "no-store"}
    if isinstance(answer, Reply):
        status = answer.status
        headers.update(answer.headers)
        answer = answer.body
    if answer is None:
        return web.Response(status=status, headers=headers)
    body = answer.model_dump_json(by_alias=True).encode()
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8", headers=headers)


def _path(raw: web.Request) -> Mapping[str, str]:
    path = dict(raw.match_info)
    if any(not _encodable(value) for value in path.values()):
        raise NotFound("no such path")  # PostgreSQL's text holds no NUL, so nothing can have that name
    return path


def _encodable(text: str) -> bool:
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _query(model: type[BaseModel], raw: web.Request, lists: frozenset[str]) -> BaseModel:
    values: dict[str, Any] = {}
    for key in raw.query:
        given = raw.query.getall(key)
        if any(not _encodable(value) for value in given):
            raise InvalidInput(f"the query parameter {key[:64]!r} holds a character that is not text")
        if key not in lists and len(given) > 1:
            raise InvalidInput(f"the query parameter {key[:64]!r} is given twice")
        values[key] = given if key in lists else given[0]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InvalidInput("the query does not fit", fields=from_validation(error)) from None


def _fields(model: type[BaseModel] | None) -> frozenset[str]:
    return frozenset(() if model is None else (field.alias or name for name, field in model.model_fields.items()))


def _unknown(names: Iterable[str]) -> UnknownParameter:
    shown = [name[:64].encode("utf-8", "replace").decode() for name in names]
    message = "the operation has no such parameter"
    fields = tuple(FieldError(field=name, code=UnknownParameter.code, message=message) for name in shown)
    return UnknownParameter(f"unknown query parameter: {', '.join(map(repr, shown))}", fields=fields)


def _blank(places: Iterable[str]) -> tuple[FieldError, ...]:
    return tuple(FieldError(field=place, code="blank", message="says nothing; leave it out") for place in places)


def _list_fields(model: type[BaseModel] | None) -> frozenset[str]:
    if model is None:
        return frozenset()
    return frozenset(field.alias or name for name, field in model.model_fields.items() if _is_list(field.annotation))


def _is_list(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_is_list(part) for part in get_args(annotation))
    return (get_origin(annotation) or annotation) in (list, tuple, set, frozenset)


def _require_json(raw: web.Request) -> None:
    if "Content-Type" not in raw.headers:
        return
    kind = raw.content_type
    if kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMediaType("the body must be application/json")


def _body(model: type[BaseModel], content: bytes, *, invalid_status: int) -> BaseModel:
    if not content:
        raise InvalidInput("a JSON body is needed")
    if b"\\u0000" in content and _holds_nul(content):
        raise _unfit(invalid_status)("the body holds a NUL character, which no text may")
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["type"] == _MALFORMED:
            raise InvalidInput("the body is not JSON") from None
        fields = from_validation(error)
        raise _unfit(invalid_status)("the body does not fit", fields=fields) from None


def _unfit(invalid_status: int) -> type[InvalidInput | Unprocessable]:
    return InvalidInput if invalid_status == 400 else Unprocessable


def _holds_nul(content: bytes) -> bool:
    try:
        stack: list[Any] = [orjson.loads(content)]
    except orjson.JSONDecodeError:
        return False  # the model's own parser says what is wrong
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            if "\x00" in value:
                return True
        elif isinstance(value, dict):
            stack.extend(value)
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
    return False
