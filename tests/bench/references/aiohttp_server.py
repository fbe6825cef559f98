"""The bare limit beside the gateway: aiohttp that publishes what it is sent, confirmed, without one check; or that only echoes.

``python -m tests.bench.references.aiohttp_server bare|echo PORT [AMQP_URL]``. One process, uvloop, no access log.
"""

from __future__ import annotations

import asyncio
import sys

import aio_pika
import uvloop
from aiohttp import web

ANSWER = b'{"status":"created","number":"0000000000000000"}'


async def serve(mode: str, port: int, amqp_url: str | None) -> None:
    """Answer ``POST /hook`` until the process is ended."""
    app = web.Application()
    if mode == "echo":

        async def hook(request: web.Request) -> web.Response:
            return web.Response(body=await request.read(), content_type="application/json")

    else:
        connection = await aio_pika.connect(amqp_url)
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.get_exchange("intake")

        async def hook(request: web.Request) -> web.Response:
            message = aio_pika.Message(await request.read(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await exchange.publish(message, "intake.hook.received.v1", mandatory=True)
            return web.Response(body=ANSWER, content_type="application/json")

    app.router.add_post("/hook", hook)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None))
