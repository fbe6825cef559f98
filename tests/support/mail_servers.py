"""A mail server that says what a test wants it to say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager


@asynccontextmanager
async def mail_server(answers: Sequence[bytes | None]) -> AsyncIterator[int]:
    """A mail server that reads a line (after 354 a text) for each answer; None stands for silence. Yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one sender."""
        try:
            for answer in answers:
                if answer is None:
                    await reader.read()
                    return
                writer.write(answer + b"\r\n")
                await writer.drain()
                await (reader.readuntil(b"\r\n.\r\n") if answer.startswith(b"354") else reader.readline())
        except (asyncio.IncompleteReadError, OSError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


HELLO = (b"220 here", b"250 hello", b"250 sender", b"250 recipient", b"354 go on")
