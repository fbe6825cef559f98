"""The way of every received call: read it, play the ordered fault, let the system act, write the journal, answer.

Systems only say what their real counterpart would do with a call. Time-outs, resets and lost answers happen here, so
that each of them means the same everywhere.
"""

import asyncio
import json
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from aiohttp import web

from sandbox.clock import Clock
from sandbox.faults import FaultMode, FaultOrder, FaultPlan
from sandbox.log import Journal, kept_headers

_HANG_STEP_S = 0.02


@dataclass(frozen=True, slots=True)
class Call:
    """One received request. `form` holds the fields of a form-encoded or multipart body; files become their names."""

    method: str
    path: str
    operation: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    match: Mapping[str, str]
    raw: bytes
    form: Mapping[str, str] | None = None
    declined: bool = False

    def json(self) -> Any:
        """The body as JSON; raises ValueError when it is none."""
        return json.loads(self.raw)

    def shown(self) -> Any:
        """What the journal keeps of the body."""
        return dict(self.form) if self.form is not None else self.raw


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: a body for JSON (None sends none)."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether the call did what it asked for; Slack says no with a 200."""
        return self.status < 400 and not (isinstance(self.body, dict) and self.body.get("ok") is False)


Handler = Callable[[Call], Awaitable[Answer]]


class OutsideSystem(ABC):
    """One system of the outside world, with its own journal and its own faults."""

    name: ClassVar[str]
    modes: ClassVar[frozenset[FaultMode]] = frozenset(FaultMode)

    def __init__(self, *, clock: Clock, journal: Journal, faults: FaultPlan) -> None:
        self.clock = clock
        self.journal = journal
        self.faults = faults

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """Its real protocol's addresses, and its own controls under `/sandbox/{name}/`."""

    def reset(self) -> None:
        """Forget all state but settings."""
        self.journal.clear()
        self.faults.heal()

    async def let_go(self, *, count: int | None = None) -> int:
        """Let the oldest late calls take effect; return how many did. What takes no calls over HTTP has none."""
        return 0


class HttpSystem(OutsideSystem):
    """A system that is called over HTTP: each of its addresses is an `endpoint`."""

    declines_itself: ClassVar[bool] = False
    """True: a `declined` fault reaches the handler as `call.declined` instead of being refused at the gate."""

    def __init__(self, *, clock: Clock, journal: Journal, faults: FaultPlan) -> None:
        super().__init__(clock=clock, journal=journal, faults=faults)
        self._late: list[tuple[Call, Handler]] = []

    @abstractmethod
    def refusal(self, fault: FaultOrder, call: Call) -> Answer:
        """How the real system words `error`, `rate_limit` and `declined`."""

    def reset(self) -> None:
        """Forget all state but settings."""
        super().reset()
        self._late.clear()

    async def let_go(self, *, count: int | None = None) -> int:
        """Let the oldest late calls take effect, as if they had been on their way all the time; return how many did."""
        going, self._late = self._late[:count], self._late[len(self._late[:count]) :]
        for call, handler in going:
            self._record(call, await handler(call), fault=FaultOrder(mode=FaultMode.LATE), lost=True)
        return len(going)

    def shown_path(self, path: str) -> str:
        """The path as the journal may keep it."""
        return path

    def endpoint(self, operation: str | Callable[[web.Request], str], handler: Handler) -> Any:
        """Wrap `handler` for aiohttp's router, with journal and faults around it."""

        async def serve(request: web.Request) -> web.StreamResponse:
            """Serve one call."""
            name = operation if isinstance(operation, str) else operation(request)
            call = await _read(request, name)
            fault = self.faults.draw(f"{call.method} {call.path} {call.operation}")
            if fault is None:
                answer = await handler(call)
                self._record(call, answer)
                return _response(answer)
            return await self._serve_faulty(request, call, fault, handler)

        return serve

    async def _serve_faulty(
        self, request: web.Request, call: Call, fault: FaultOrder, handler: Handler
    ) -> web.StreamResponse:
        match fault.mode:
            case FaultMode.TIMEOUT:
                self._record(call, None, fault=fault, effect=False)
                await hang(lambda: request.transport, fault.delay)
                return _close(request, with_reset=False)
            case FaultMode.RESET:
                self._record(call, None, fault=fault, effect=False)
                return _close(request, with_reset=True)
            case FaultMode.LATE:
                self._late.append((call, handler))
                return _close(request, with_reset=True)
            case FaultMode.LOST_RESPONSE:
                answer = await handler(call)
                self._record(call, answer, fault=fault, lost=True)
                await hang(lambda: request.transport, fault.delay)
                return _close(request, with_reset=False)
            case FaultMode.SLOW:
                answer = await handler(call)
                self._record(call, answer, fault=fault)
                await self.clock.sleep(fault.delay)
                return _response(answer)
            case FaultMode.DECLINED if self.declines_itself:
                answer = await handler(replace(call, declined=True))
                self._record(call, answer, fault=fault)
                return _response(answer)
            case _:
                done = fault.effect and (await handler(call)).accepted
                answer = self.refusal(fault, call)
                self._record(call, answer, fault=fault, effect=done)
                return _response(answer)

    def _record(
        self,
        call: Call,
        answer: Answer | None,
        *,
        fault: FaultOrder | None = None,
        effect: bool | None = None,
        lost: bool = False,
    ) -> None:
        status = answer.status if answer is not None and not lost else None
        self.journal.record(
            time=self.clock.now(),
            operation=call.operation,
            method=call.method,
            path=self.shown_path(call.path),
            query=call.query,
            headers=kept_headers(call.headers),
            request=call.shown(),
            status=status,
            answer=answer.body if answer is not None else None,
            fault=fault.mode.value if fault is not None else None,
            effect=answer is not None and answer.accepted if effect is None else effect,
        )


async def hang(transport: Callable[[], asyncio.BaseTransport | None], seconds: float) -> None:
    """Hold a connection without an answer for `seconds` of real time, or until the caller has hung up."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while loop.time() < deadline:
        held = transport()
        if held is None or held.is_closing():
            return
        await asyncio.sleep(min(_HANG_STEP_S, max(0.0, deadline - loop.time())))


def cut(transport: asyncio.BaseTransport | None, *, with_reset: bool) -> None:
    """Close a connection without another byte; `with_reset` sends RST instead of FIN."""
    if transport is None:
        return
    if with_reset:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


def _close(request: web.Request, *, with_reset: bool) -> web.Response:
    cut(request.transport, with_reset=with_reset)
    return web.Response(status=500)  # never leaves: the transport is gone


def _response(answer: Answer) -> web.Response:
    if answer.body is None:
        return web.Response(status=answer.status, headers=dict(answer.headers))
    return web.json_response(answer.body, status=answer.status, headers=dict(answer.headers))


async def _read(request: web.Request, operation: str) -> Call:
    form: dict[str, str] | None = None
    raw = b""
    if request.content_type.startswith("multipart/"):
        try:
            fields = await request.post()
        except (ValueError, KeyError):
            raise web.HTTPBadRequest(text="the multipart body cannot be read") from None
        form = {name: value if isinstance(value, str) else _file_name(value) for name, value in fields.items()}
    else:
        raw = await request.read()
        if request.content_type == "application/x-www-form-urlencoded":
            form = dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))
    return Call(
        method=request.method,
        path=request.path,
        operation=operation,
        headers=request.headers,
        query=dict(request.query),
        match=dict(request.match_info),
        raw=raw,
        form=form,
    )


def _file_name(value: Any) -> str:
    return f"<file {getattr(value, 'filename', '')}>"
