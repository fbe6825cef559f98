"""A TCP proxy that misbehaves on demand: it cuts, stalls, delays, half-closes and refuses."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from yarl import URL


class CuttingProxy:
    """Stands between a client and a server on loopback. All faults apply to open connections and to new ones, until ``heal``."""

    def __init__(self, target_host: str, target_port: int) -> None:
        self._target = (target_host, target_port)
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._stall_after: bytes | None = None
        self._delay = 0.0
        self._refusing = False
        self._drop_to_client = False
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port of loopback (``port``)."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut what is open."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for pipe in list(self._pipes):
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    def lead_to(self, host: str, port: int) -> None:
        """Lead new connections to another server from now on, as a name does that was moved."""
        self._target = (host, port)

    def cut(self) -> None:
        """Reset every open connection, both ways (RST, as a dead peer's kernel does). New ones are taken."""
        for writer in list(self._writers):
            sock = writer.get_extra_info("socket")
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def stall(self) -> None:
        """Let nothing through any more, and close nothing: the other side seems to hang."""
        self._flowing.clear()

    def stall_after(self, mark: bytes) -> None:
        """Stall as soon as a piece with this mark in it has gone through, to either side."""
        self._stall_after = mark

    @property
    def stalled(self) -> bool:
        """Whether nothing goes through."""
        return not self._flowing.is_set()

    def delay(self, seconds: float) -> None:
        """Hold every piece back for so long, each way."""
        self._delay = seconds

    def half_close(self) -> None:
        """Send the end of the stream to every client; what clients send still goes through."""
        for writer in list(self._writers):
            if getattr(writer, "towards_client", False) and writer.can_write_eof():
                with contextlib.suppress(OSError, RuntimeError):
                    writer.write_eof()

    def lose_answers(self) -> None:
        """Swallow what the server sends; what clients send still goes through: the effect happens, the answer is lost."""
        self._drop_to_client = True

    def refuse(self) -> None:
        """Cut everything and reset every new connection."""
        self._refusing = True
        self.cut()

    def heal(self) -> None:
        """End every fault."""
        self._refusing = False
        self._drop_to_client = False
        self._delay = 0.0
        self._stall_after = None
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if self._refusing:
            self._abort(writer)
            return
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(*self._target)
        except OSError:
            self._abort(writer)
            return
        self._writers.add(upstream_writer)
        writer.towards_client = True  # type: ignore[attr-defined]  # a mark of ours, read by half_close
        for source, sink, to_client in ((reader, upstream_writer, False), (upstream_reader, writer, True)):
            pipe = asyncio.create_task(self._pipe(source, sink, to_client=to_client))
            self._pipes.add(pipe)
            pipe.add_done_callback(self._pipes.discard)

    async def _pipe(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, to_client: bool) -> None:
        try:
            while data := await source.read(65536):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._flowing.wait()
                if to_client and self._drop_to_client:
                    continue
                sink.write(data)
                if self._stall_after is not None and self._stall_after in data:
                    self.stall()
                await sink.drain()
        except OSError:
            pass
        finally:
            self._writers.discard(sink)
            sink.close()

    def _abort(self, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        self._writers.discard(writer)


@asynccontextmanager
async def cutting_proxy(host: str, port: int) -> AsyncIterator[CuttingProxy]:
    """Run a proxy in front of an address until the block ends."""
    proxy = CuttingProxy(host, port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


@asynccontextmanager
async def proxied(address: str) -> AsyncIterator[tuple[CuttingProxy, str]]:
    """Run a proxy in front of a server that a URL names (PostgreSQL or AMQP); give it, and the URL that leads through it."""
    url = URL(address)
    port = url.port or {"amqp": 5672, "amqps": 5671}.get(url.scheme, 5432)
    async with cutting_proxy(url.host or "127.0.0.1", port) as proxy:
        yield proxy, str(url.with_host("127.0.0.1").with_port(proxy.port))
