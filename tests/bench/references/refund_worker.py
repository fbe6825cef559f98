"""The bare limit beside the refunds service: the same HTTP front, one row, Trust's three calls, and nothing that keeps money safe.

``python -m tests.bench.references.refund_worker PORT DSN TRUST_URL``. No broker, no lock, no sum, no key that is committed first, no
history, no events, no lease: what it does not survive, the service does. One process, uvloop, no access log.
"""

from __future__ import annotations

import asyncio
import sys
from uuid import uuid4

import aiohttp
import asyncpg
import uvloop
from aiohttp import web

_BASE = "/trust-payments/v2"
_TABLE = "CREATE TABLE IF NOT EXISTS bare (id uuid PRIMARY KEY, state text NOT NULL, trust_id text)"
_WORKERS = 16


async def serve(port: int, dsn: str, trust_url: str) -> None:
    """Answer ``POST /refunds/v1/refunds`` until the process is ended."""
    pool = await asyncpg.create_pool(dsn, min_size=2, max_size=12)
    await pool.execute(_TABLE)
    session = aiohttp.ClientSession(trust_url)
    wanted: asyncio.Queue[tuple[str, dict[str, object]]] = asyncio.Queue()

    async def work() -> None:
        while True:
            refund_id, body = await wanted.get()
            headers = {"X-Service-Token": "token", "X-Idempotency-Key": refund_id}
            async with session.post(f"{_BASE}/refunds", json=body, headers=headers) as answer:
                trust_id = (await answer.json())["trust_refund_id"]
            async with session.post(f"{_BASE}/refunds/{trust_id}/start", headers=headers) as answer:
                await answer.read()
            async with session.get(f"{_BASE}/refunds/{trust_id}", headers=headers) as answer:
                status = (await answer.json())["status"]
            await pool.execute("UPDATE bare SET state = $2, trust_id = $3 WHERE id = $1", refund_id, status, trust_id)

    async def want(request: web.Request) -> web.Response:
        body = await request.json()
        refund_id = str(uuid4())
        await pool.execute("INSERT INTO bare (id, state) VALUES ($1, 'wanted')", refund_id)
        wanted.put_nowait((refund_id, {name: body[name] for name in ("payment_id", "amount", "currency")}))
        return web.json_response({"id": refund_id, "state": 2}, status=202)

    app = web.Application()
    app.router.add_post("/refunds/v1/refunds", want)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.gather(*(work() for _ in range(_WORKERS)))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
