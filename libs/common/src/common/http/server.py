"""A listening server around an application."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Self

from aiohttp import web

from common.errors import ConfigurationError
from common.http.edge import clean_request_id
from common.http.problems import HTTP_CODES, internal_error, problem
from common.telemetry import get_logger, report_exception

_log = get_logger()

_BACKLOG = 1024
_LAST_PORT = 65535


class _Protocol(web.RequestHandler):
    """aiohttp's protocol, whose own errors are problem+json too: what is not HTTP, or larger than a head may be."""

    malformed: Callable[[], None] | None = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
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
        self, runner: web.AppRunner, host: str, port: int, *, reuse_port: bool, malformed: Callable[[], None] | None
    ) -> None:
        super().__init__(runner, backlog=_BACKLOG)
        self._malformed = malformed
        self._host = host
        self._port = port
        self._reuse_port = reuse_port

    @property
    def name(self) -> str:
        return f"http://{self._host}:{self._port}"

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
                access_log=None,  # type: ignore[arg-type]  # None is "off", as aiohttp's runner passes it
                # Bodies come as they were sent: what a route leaves unread aiohttp reads on for a while after the answer, and
                # would unfold it, a gigabyte from one megabyte, without letting anybody else have a turn. Who takes compressed
                # bodies bounds them.
                auto_decompress=False,
            )
            made.malformed = self._malformed
            return made

        self._server = await loop.create_server(
            protocol,
            self._host,
            self._port,
            backlog=self._backlog,
            reuse_port=self._reuse_port or None,
        )


class HttpServer:
    """Serves an application on one address. Usable as ``async with``; a port of 0 takes any free one (tests).

    ``drain_seconds`` is how long ``stop`` waits for requests in flight; those still running then are cancelled, which may
    take as long again. ``malformed`` is called for each request that no route sees because it is not well-formed HTTP, once it is to be
    answered 400.
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
    ) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._reuse_port = reuse_port
        self._malformed = malformed
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
        site = _Site(self._runner, self._host, self._port, reuse_port=self._reuse_port, malformed=self._malformed)
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
        return f"http://{'127.0.0.1' if self._host == '0.0.0.0' else host}:{self.port}"  # noqa: S104 - compared, not bound

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "the host name is unknown"
    if error.errno == errno.EADDRINUSE:
        return "the port is taken"
    if error.errno == errno.EACCES:
        return "not permitted"
    return str(error.strerror or error)
