"""The bare limit beside tips: aiohttp and asyncpg that do the same reads (and for ``W…`` orders the same write), and nothing else.

``python -m tests.bench.references.tips_server PORT POSTGRES_DSN FEEDBACK_URL``. No token is checked, no rule applied, nothing counted,
no deadline kept. One process, uvloop, no access log; asyncpg and aiohttp as their documentation shows them.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from typing import Any

import aiohttp
import asyncpg
import orjson
import uvloop
from aiohttp import web

_FIND = """
SELECT number, version, finished, finished_at, payment_method, refunded, tips_zeroed_at, currency, cost_total, tips_amount,
       tips_held_amount, tips_feedback_at, tips_type, tips_choice, tips_done, tips_seen, zone, tariff
FROM tips_order WHERE number = $1
"""
_SET = "SELECT outcome, first_seen FROM tips_set_sum($1, $2, $3, $4, $5, $6, $7)"


async def serve(port: int, dsn: str, feedback_url: str) -> None:
    """Answer the two endpoints until the process is ended."""
    pool = await asyncpg.create_pool(dsn, min_size=8, max_size=8)
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64))

    async def reads(number: str) -> tuple[Any, Any]:
        order = await pool.fetchrow(_FIND, number)
        async with session.get(f"{feedback_url}/feedback/v1/orders/{number}") as answer:
            return order, orjson.loads(await answer.read())

    async def set_sum(request: web.Request) -> web.Response:
        number = orjson.loads(await request.read())["order_id"]
        order, said = await reads(number)
        if number.startswith("W"):
            moment = datetime.fromisoformat(said["updated_at"])
            await pool.fetchrow(_SET, number, order["version"], 1600, "percent", "suggested", moment, False)
        return web.Response(body=b"{}", content_type="application/json")

    async def need_hold(request: web.Request) -> web.Response:
        order, said = await reads(request.query["order_id"])
        needed = order["tips_amount"] > 0 and not said["done"]
        return web.Response(body=orjson.dumps({"need_hold_tips": needed}), content_type="application/json")

    app = web.Application()
    app.router.add_post("/tips/v1/set-tips-sum", set_sum)
    app.router.add_get("/tips/v1/need-hold-tips", need_hold)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
