"""What most people would write: FastAPI, a pydantic model, FastStream's confirmed publish. Runs in the benchmarks' own environment.

``python -m tests.bench.references.faststream_server PORT AMQP_URL``. One process, uvloop, no access log.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from faststream.rabbit import Channel, ExchangeType, RabbitBroker, RabbitExchange
from pydantic import BaseModel, ConfigDict


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Position(_Open):
    """One line of the order."""

    id: str
    originalQuantity: float  # noqa: N815 - the field's name on the wire
    quantity: float
    price: str
    discountPrice: str  # noqa: N815 - the field's name on the wire
    weight: str
    totalPrice: str  # noqa: N815 - the field's name on the wire
    totalDiscountPrice: str  # noqa: N815 - the field's name on the wire


class Payload(_Open):
    """The order."""

    originalOrderId: str  # noqa: N815 - the field's name on the wire
    positions: list[Position]


class Hook(_Open):
    """The envelope."""

    event_type: str
    timestamp: str
    payload: Payload


def make_app(amqp_url: str) -> FastAPI:
    """Return the application."""
    broker = RabbitBroker(amqp_url, default_channel=Channel(publisher_confirms=True, on_return_raises=True))
    exchange = RabbitExchange("intake", type=ExchangeType.TOPIC, durable=True, declare=False)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await broker.start()
        yield
        await broker.stop()

    app = FastAPI(lifespan=lifespan)

    @app.post("/hook")
    async def hook(body: Hook) -> dict[str, str]:
        await broker.publish(
            body, exchange=exchange, routing_key="intake.hook.received.v1", mandatory=True, persist=True
        )
        return {"status": "created", "number": body.payload.originalOrderId}

    return app


if __name__ == "__main__":
    uvicorn.run(
        make_app(sys.argv[2]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        access_log=False,
        log_level="warning",
    )
