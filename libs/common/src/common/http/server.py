"""A listening server around an application."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from common.errors import ConfigurationError
from common.http.certificates import ServerCertificate
from common.http.edge import clean_request_id
from common.http.problems import HTTP_CODES, internal_error, problem
from common.telemetry import get_logger, report_exception

_log = get_logger()

_BACKLOG = 1024
_IDLE_SECONDS = 90.0
"""Longer than nginx keeps a connection to us that it does not use (60 s), so that it never sends into one that is ending."""
_GOODBYE_SECONDS = 2.0
"""How long a connection over TLS that we end waits for the other side's goodbye."""
_LAST_PORT = 65535


class _Protocol(web.RequestHandler):
    """aiohttp's protocol, whose own errors are problem+json too: what is not HTTP, or larger than a head may be."""

    malformed: Callable[[], None] | None = None
    head_seconds: float
    _head_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Await the first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Await nothing any more."""
        self._head_is_whole()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bound a head from its first byte to its end, whatever comes meanwhile."""
        heads = self._request_count
        super().data_received(data)
        if self._request_count != heads:
            self._head_is_whole()
        elif (
            self._head_due is None and self._waiter is not None
        ):  # nothing is under way that these bytes may be the body of
            self._await_head()

    def _await_head(self) -> None:
        self._head_due = asyncio.get_running_loop().call_later(self.head_seconds, self._head_is_late)

    def _head_is_whole(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _head_is_late(self) -> None:
        self._head_due = None
        _log.info("http_head_timeout", seconds=self.head_seconds)
        self.force_close()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what never reached the application. The connection ends with it."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("http_answer_broken", exc_info=exc)
            if exc is not None:
                report_exception(exc)
        else:
            _log.info("http_malformed", status=status, error=type(exc).__name__)
            if self.malformed is not None:
                self.malformed()
        if request.writer.output_size > 0:
            raise ConnectionError("part of an answer is out already")
        request_id = clean_request_id(None)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            response = internal_error(request_id=request_id)
        else:
            code = HTTP_CODES.get(status, "bad_request")
            response = problem(
                status=status, code=code, detail="the request is not well-formed HTTP", request_id=request_id
            )
        response.headers["X-Request-Id"] = request_id
        response.force_close()
        return response


class _Site(web.BaseSite):
    """A listening socket whose connections speak ``_Protocol``."""

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        reuse_port: bool,
        malformed: Callable[[], None] | None,
        head_seconds: float,
        certificate: ServerCertificate | None,
    ) -> None:
        super().__init__(runner, backlog=_BACKLOG)
        self._certificate = certificate
        self._head_seconds = head_seconds
        self._malformed = malformed
        self._host = host
        self._port = port
        self._reuse_port = reuse_port

    @property
    def name(self) -> str:
        return f"{_scheme(self._certificate)}://{self._host}:{self._port}"

    async def start(self) -> None:
        """Bind and accept. Raises ``OSError``."""
        await super().start()
        loop = asyncio.get_running_loop()
        manager = self._runner.server
        if manager is None:
            raise RuntimeError("the runner is not set up")

        def protocol() -> _Protocol:
            made = _Protocol(
                manager,
                loop=loop,
                keepalive_timeout=_IDLE_SECONDS,
                access_log=None,  # type: ignore[arg-type]  # None is "off", as aiohttp's runner passes it
                # Bodies come as they were sent: what a route leaves unread aiohttp reads on for a while after the answer, and
                # would unfold it, a gigabyte from one megabyte, without letting anybody else have a turn. Who takes compressed
                # bodies bounds them.
                auto_decompress=False,
            )
            made.malformed = self._malformed
            made.head_seconds = self._head_seconds
            return made

        over_tls: dict[str, Any] = {}
        if self._certificate is not None:
            over_tls = {
                "ssl": self._certificate.context,
                "ssl_handshake_timeout": self._head_seconds,
                "ssl_shutdown_timeout": _GOODBYE_SECONDS,
            }
        self._server = await loop.create_server(
            protocol, self._host, self._port, backlog=self._backlog, reuse_port=self._reuse_port or None, **over_tls
        )


class HttpServer:
    """Serves an application on one address. Usable as ``async with``; a port of 0 takes any free one (tests).

    ``drain_seconds`` is how long ``stop`` waits for requests in flight; those still running then are cancelled, which may
    take as long again. ``malformed`` is called for each request that no route sees because it is not well-formed HTTP, once it is to be
    answered 400.

    ``head_seconds`` is how long a request's head may take from its first byte, and a new connection until there is one; then the
    connection ends without an answer. One that waits for its next request ends after ninety seconds. How long a body may take is the
    application's (``build_app``).

    With a ``certificate`` it speaks TLS and nothing else; a handshake may take ``head_seconds`` too.
    """

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int,
        *,
        reuse_port: bool = False,
        drain_seconds: float = 3.0,
        malformed: Callable[[], None] | None = None,
        head_seconds: float = 10.0,
        certificate: ServerCertificate | None = None,
    ) -> None:
        self._certificate = certificate
        self._app = app
        self._host = host
        self._port = port
        self._reuse_port = reuse_port
        self._malformed = malformed
        self._head_seconds = head_seconds
        self._runner = web.AppRunner(
            app,
            access_log=None,  # the edge writes its own line, without query strings
            handle_signals=False,
            shutdown_timeout=drain_seconds,
        )
        self._bound: int | None = None

    async def start(self) -> None:
        """Bind and accept. Raises ``ConfigurationError`` with one clear line when the address cannot be had."""
        if not 0 <= self._port <= _LAST_PORT:
            raise ConfigurationError(f"cannot listen on {self._host}:{self._port}: there is no such port")
        await self._runner.setup()
        site = _Site(
            self._runner,
            self._host,
            self._port,
            reuse_port=self._reuse_port,
            malformed=self._malformed,
            head_seconds=self._head_seconds,
            certificate=self._certificate,
        )
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigurationError(f"cannot listen on {self._host}:{self._port}: {_reason(error)}") from None
        self._bound = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop accepting, end idle connections, wait for requests in flight (``drain_seconds``). Safe to repeat."""
        if self._bound is not None:
            self._bound = None
            await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port that was bound."""
        if self._bound is None:
            raise RuntimeError("the server is not listening")
        return self._bound

    @property
    def url(self) -> str:
        """The address to call, without a trailing slash."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{_scheme(self._certificate)}://{'127.0.0.1' if self._host == '0.0.0.0' else host}:{self.port}"  # noqa: S104 - compared, not bound

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()


def _scheme(certificate: ServerCertificate | None) -> str:
    return "http" if certificate is None else "https"


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "the host name is unknown"
    if error.errno == errno.EADDRINUSE:
        return "the port is taken"
    if error.errno == errno.EACCES:
        return "not permitted"
    return str(error.strerror or error)
