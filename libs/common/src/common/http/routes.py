"""A route as a value, and what its handler is given. A service's HTTP entry point is a table of these."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from aiohttp import web
from pydantic import BaseModel

from common.errors import InvalidInput, NotFound, SuiteError
from common.http.auth import OPERATOR, VIEWER, Principal
from common.http.scopes import scope_of

BodyT = TypeVar("BodyT")
QueryT = TypeVar("QueryT")

_BIGINT = 2**63 - 1
LONGEST_KEY = 255
KEY_CHARACTERS = "[!-~]"  # printable ASCII without the blank
_KEY = re.compile(f"{KEY_CHARACTERS}{{1,{LONGEST_KEY}}}")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer whose status or headers differ from the route's own."""

    body: BaseModel | None
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


class Request(Generic[BodyT, QueryT]):
    """A request as a handler sees it: everything parsed, checked and authorized already.

    ``body`` and ``query`` are instances of the route's models (``None`` where it names none), ``path`` holds the path
    parameters as text without NUL characters, ``content`` the body's raw bytes (empty when the route reads none).
    """

    __slots__ = ("_principal", "body", "content", "path", "query", "raw", "request_id", "route", "service")

    def __init__(
        self,
        *,
        raw: web.Request,
        route: Route,
        service: str,
        principal: Principal | None,
        body: BodyT,
        query: QueryT,
        path: Mapping[str, str],
        content: bytes,
        request_id: str,
    ) -> None:
        self.raw = raw
        self.route = route
        self.service = service
        self.body = body
        self.query = query
        self.path = path
        self.content = content
        self.request_id = request_id
        self._principal = principal

    @property
    def principal(self) -> Principal:
        """Who calls. Only on routes that demand a role; elsewhere there is nobody to name."""
        if self._principal is None:
            raise RuntimeError(f"{self.route.path} is public: it has no principal")
        return self._principal

    def with_query(self, query: Any) -> Request[BodyT, Any]:
        """Return this request with another query."""
        return Request(
            raw=self.raw,
            route=self.route,
            service=self.service,
            principal=self._principal,
            body=self.body,
            query=query,
            path=self.path,
            content=self.content,
            request_id=self.request_id,
        )

    @property
    def idempotency_key(self) -> str | None:
        """The ``Idempotency-Key`` header, if given. Raises ``InvalidInput`` when it is empty, too long or holds odd characters."""
        key = self.raw.headers.get("Idempotency-Key")
        if key is None:
            return None
        if _KEY.fullmatch(key) is None:
            raise InvalidInput(f"Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters without blanks")
        return key

    @property
    def idempotency_scope(self) -> str:
        """Where a key counts: this service, this route, this caller."""
        caller = f"{self._principal.role}/{self._principal.name}" if self._principal is not None else "public"
        return f"{self.service} {self.route.method} {self.route.path} {caller}"

    @property
    def fingerprint(self) -> bytes:
        """A digest of what was asked: path, query and body. The same request has the same fingerprint."""
        digest = hashlib.blake2b(digest_size=32, person=b"idempotency")
        for part in (self.raw.rel_url.raw_path_qs.encode(), self.content):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.digest()

    def path_int(self, name: str) -> int:
        """Return a path parameter that is a row's number; there is room for one more. What cannot be one does not exist: ``NotFound``."""
        text = self.path[name]
        if text.isascii() and text.isdigit() and int(text[:20]) < _BIGINT:
            return int(text)
        raise NotFound(f"no such {name}")

    def path_uuid(self, name: str) -> uuid.UUID:
        """Return a path parameter that is a UUID. What cannot be one does not exist: ``NotFound``."""
        try:
            return uuid.UUID(self.path[name])
        except ValueError:
            raise NotFound(f"no such {name}") from None


@dataclass(frozen=True, slots=True)
class Proof:
    """How the caller of a raw route shows who it is: a security scheme of the OpenAPI document."""

    name: str
    scheme: Mapping[str, str]

    @classmethod
    def header(cls, name: str, description: str) -> Proof:
        """A header that holds a secret or a signature."""
        return cls(name, {"type": "apiKey", "in": "header", "name": name, "description": description})


BEARER = Proof(
    "bearer", {"type": "http", "scheme": "bearer", "description": "a token of the suite; its role and scopes decide"}
)


Answer: TypeAlias = BaseModel | Reply | web.StreamResponse | None
Handler: TypeAlias = Callable[[Request[Any, Any]], Awaitable[Answer]]
RawHandler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
Response: TypeAlias = type[BaseModel] | Mapping[int, type[BaseModel] | None] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation.

    - ``roles``: who may call (viewer < operator < admin, the others stand alone); ``None`` is public, an empty set is anyone
      with a valid token.
    - ``request``, ``query``: pydantic models of the JSON body and the query string. Malformed JSON is 400, a body that does
      not fit is ``invalid_status`` (422), a query that does not fit is 400. Where a role is demanded, a text of the body that is not
      empty and holds nothing to be seen does not fit.
    - ``response``: the model answered with ``status``, or a model for each status.
    - ``errors``: the error classes that the operation may raise, for the OpenAPI document; any other SuiteError is
      answered by the same table.
    - ``idempotent``: the operation honours ``Idempotency-Key``: the header is documented and checked; the handler does its
      work under ``common.http.once``.
    - ``raw``: the handler gets aiohttp's own request, unread, with no role check; for hot paths. Errors, ids and metrics
      work the same. A raw route is quiet.
    - ``proofs``: what a raw route asks of its callers, any one of them, for the OpenAPI document. Without them it is everybody's.
    - ``quiet``: only answers of 500 and above write a log line; for routes that are called hundreds of times a second.
    - ``timed``: the handler minds how long its caller waits (``timeout_of``); the header is documented.
    - ``tags``: the first is the group that scopes of tokens name.
    - ``hidden``: left out of the OpenAPI document.
    """

    method: str
    path: str
    handler: Handler | RawHandler
    summary: str
    description: str = ""
    request: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    response: Response = None
    status: int = 200
    errors: tuple[type[SuiteError], ...] = ()
    roles: frozenset[str] | None = None
    tags: tuple[str, ...] = ()
    invalid_status: int = 422
    idempotent: bool = False
    raw: bool = False
    proofs: tuple[Proof, ...] = ()
    quiet: bool = False
    timed: bool = False
    hidden: bool = False

    @property
    def strict(self) -> bool:
        """Whether a query parameter that it does not know is refused (422): a misspelt filter would be a wrong answer."""
        return not self.raw and (self.roles is not None or self.query is not None)

    def scope(self, service: str) -> str | None:
        """The scope that a token needs for it; None where none is asked for, or any valid one will do."""
        if self.roles or BEARER in self.proofs:
            return scope_of(service, next(iter(self.tags), "none"), self.method)
        return None

    @property
    def tagged(self) -> bool:
        """Whether its answers carry an ``ETag``."""
        return self.method == "GET" and not (self.raw or self.quiet)


def read_route(
    path: str,
    handler: Handler,
    summary: str,
    response: Response = None,
    *,
    roles: frozenset[str] = VIEWER,
    tags: tuple[str, ...] = ("admin",),
    **more: Any,
) -> Route:
    """Return an operation that reads; ``more`` is what else a route has."""
    return Route(
        method="GET", path=path, handler=handler, summary=summary, response=response, roles=roles, tags=tags, **more
    )


def change_route(
    method: str,
    path: str,
    handler: Handler,
    summary: str,
    request: type[BaseModel],
    response: Response,
    *,
    roles: frozenset[str] = OPERATOR,
    tags: tuple[str, ...] = ("admin",),
    **more: Any,
) -> Route:
    """Return an operation that changes something, once for each idempotency key."""
    at: dict[str, Any] = {"path": path, "handler": handler, "summary": summary, "roles": roles, "tags": tags}
    return Route(method=method, request=request, response=response, idempotent=True, **at, **more)


def responses_of(route: Route) -> Mapping[int, type[BaseModel] | None]:
    """Return the model of each status that an operation answers when all goes well."""
    return route.response if isinstance(route.response, Mapping) else {route.status: route.response}
