"""A service for tests, run as a process of its own: ``python shop_service.py serve``."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from pydantic_settings import SettingsConfigDict

from common.errors import SchemaTooOld, Unavailable
from common.http import HttpServer, Route, TokenBook, build_app, openapi_document
from common.service import Application, Lifecycle, ServiceSettings, runner, service_cli
from common.telemetry import get_logger
from common.telemetry.metrics import new_registry

log = get_logger()
SOON_S = 1.0  # nobody is to wait ten seconds in order to see that they end


class ShopSettings(ServiceSettings):
    """What the tests vary."""

    model_config = SettingsConfigDict(env_prefix="SHOP_")

    port: int = 0
    mode: str = ""


@asynccontextmanager
async def pool() -> AsyncIterator[None]:
    """Something that has to be closed last."""
    yield
    log.info("pool_closed")


async def slow(request: web.Request) -> web.Response:
    """Answer after a while: a request in flight."""
    log.info("slow_started")
    await asyncio.sleep(float(request.query["seconds"]))
    return web.Response(text="done")


async def block(request: web.Request) -> web.Response:
    """Block the event loop, as a bug would."""
    log.info("block_started")
    until = time.monotonic() + float(request.query["seconds"])
    # In pieces: a signal that comes right before a system call is seen by Python only after it.
    while time.monotonic() < until:
        time.sleep(0.05)  # noqa: ASYNC251 - that is what is tested
    return web.Response(text="done")


async def crash(request: web.Request) -> web.Response:
    """Fail as a bug would, with a customer's data all around."""
    _name, phone, mail = (await request.text()).split(";")  # not written here: a stack shows lines of the source
    raise ValueError(f"cannot ship to {phone}, {mail}")


async def stray(request: web.Request) -> web.Response:
    """Log an error through the standard library, as a library would."""
    logging.getLogger("some.library").error("lost the order of %s", request.query["mail"])
    return web.Response(text="done")


ROUTES = (
    Route(method="POST", path="/crash/{number}", handler=crash, summary="Crash", raw=True),
    Route(method="GET", path="/stray", handler=stray, summary="Stray", raw=True),
    Route(method="GET", path="/slow", handler=slow, summary="Slow", raw=True),
    Route(method="GET", path="/block", handler=block, summary="Block", raw=True),
)


async def build(settings: ShopSettings, lifecycle: Lifecycle) -> Application:
    """Open everything, in one straight line."""
    tokens = TokenBook.load(settings.tokens_file)
    if settings.mode == "gives up soon":
        runner._EXIT_DEADLINE = SOON_S
    await lifecycle.enter(pool())
    if settings.mode == "schema":
        raise SchemaTooOld("the database of shop lacks migrations 0100: run `python -m shop migrate`")
    if settings.mode == "away":
        raise Unavailable("the database does not answer")
    if settings.mode == "bug":
        raise KeyError("bug")
    if settings.mode == "waits":
        log.info("waiting_for_database")
        await asyncio.Event().wait()

    stopping = asyncio.Event()

    async def consume() -> None:
        if settings.mode == "dies":
            return  # as nothing that runs for ever should
        if settings.mode == "fails":
            log.info("consumer_begun")
            raise OSError("the queue is gone")
        await stopping.wait()
        log.info("consumer_finished")

    lifecycle.supervise("consumer", consume, stop=stopping.set)
    if settings.mode == "hangs":
        lifecycle.on_stop(lambda: asyncio.sleep(3600), name="hanging")
    app = build_app(
        service="shop", version="1.0.0", routes=ROUTES, health=lifecycle.health, registry=new_registry(), tokens=tokens
    )
    server = await lifecycle.enter(HttpServer(app, settings.host, settings.port))
    return Application(server=server, lifecycle=lifecycle)


async def migrate(settings: ShopSettings) -> None:
    """Bring the schema up."""
    if settings.mode == "schema":
        raise SchemaTooOld("no")
    os.write(1, b"migrated\n")


async def seven(_settings: ShopSettings) -> int:
    """Exit with seven."""
    return 7


main = service_cli(
    service="shop",
    version="1.0.0",
    settings=ShopSettings,
    build=build,
    openapi=lambda: openapi_document(service="shop", version="1.0.0", description="", routes=ROUTES),
    commands={"migrate": migrate, "seven": seven},
)

if __name__ == "__main__":
    main()
