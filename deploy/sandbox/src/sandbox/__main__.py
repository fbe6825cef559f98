"""`python -m sandbox --port 8090 --smtp-port 8025 …`: arguments and signals only."""

import argparse
import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Sequence

import structlog
from aiohttp import web
from pydantic import ValidationError

from sandbox.app import build_world, runner_for
from sandbox.settings import ENV_PREFIX, Settings, from_sources


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sandbox", description="The outside world of the order suite.")
    for name, info in Settings.model_fields.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            metavar="VALUE",
            help=f"{info.description} (default: {info.default}; environment: {ENV_PREFIX}{name.upper()})".replace(
                "%", "%%"
            ),
        )
    return parser


async def _serve(settings: Settings) -> None:
    log = structlog.get_logger()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    world = build_world(settings)
    runner = runner_for(world)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
        port = runner.addresses[0][1]
        log.info("sandbox.started", host=settings.host, port=port, smtp_port=world.mail.port)
        await stop.wait()
    finally:
        await runner.cleanup()
    log.info("sandbox.stopped")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Exit codes: 0 stopped, 1 a port is taken or the kept file is not ours, 2 a setting is wrong."""
    structlog.configure(processors=[structlog.processors.TimeStamper(fmt="iso"), structlog.processors.JSONRenderer()])
    arguments = vars(_parser().parse_args(argv))
    try:
        settings = from_sources(arguments, os.environ)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors())
        sys.stderr.write(f"sandbox: wrong settings: {wrong}\n")
        return 2
    try:
        asyncio.run(_serve(settings))
    except OSError as error:
        sys.stderr.write(f"sandbox: cannot listen: {error.strerror or error}\n")
        return 1
    except sqlite3.Error as error:
        sys.stderr.write(f"sandbox: cannot read {settings.keep_file}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
