"""One HTTP request, byte for byte as the test writes it: no client that puts paths and headers in order."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from yarl import URL


async def request(
    url: str, method: str, path: str, body: bytes, *headers: str, length: int | None = None
) -> tuple[int, Any, dict[str, str]]:
    """Send it and return status, parsed answer and headers. ``length`` is what is announced, where more than is sent."""
    where = URL(url)
    reader, writer = await asyncio.open_connection(where.host, where.port)
    try:
        lines = [f"{method} {path} HTTP/1.1", "Host: gateway", "Connection: close", *headers]
        head = "\r\n".join([*lines, f"Content-Length: {len(body) if length is None else length}"])
        writer.write(head.encode() + b"\r\n\r\n" + body)
        await writer.drain()
        answered = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        found = {name: value.strip() for name, _, value in (line.partition(":") for line in answered[1:]) if name}
        content = await reader.readexactly(int(found.get("Content-Length", "0")))
        return int(answered[0].split(" ")[1]), json.loads(content) if content else None, found
    finally:
        writer.close()
