"""``order timeline|watch``: what happened to an order, and what happens next."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

import typer

from console.cli.commands import Context, add
from console.cli.exits import Exit
from console.cli.output import Columns
from console.client.operations import filled

TIMELINE = Columns(("at", "service", "kind", "actor", "summary"), ("trace_id", "details"), name="at")
_PATH = "/admin/v1/orders/{number}/timeline"
_LAST = frozenset({"delivered", "cancelled"})
_LOOK_EVERY_S = 1.0
_LONGEST = 10_000
_NUMBER = Annotated[str, typer.Argument(metavar="NUMBER")]


async def timeline(
    at: Context,
    *,
    number: _NUMBER,
    kind: Annotated[str | None, typer.Option(help="only what begins so: hook, order, refund, chat_message, …")] = None,
    service: Annotated[str | None, typer.Option(help="only what this service says")] = None,
) -> Exit | None:
    """Show everything that happened to an order, in order."""
    at.out.rows([item async for item in _items(at, number) if _fits(item, kind, service)], TIMELINE)
    return None


async def watch(
    at: Context,
    *,
    number: _NUMBER,
    timeout: Annotated[float, typer.Option(min=0, help="seconds; 0: until the order is finished")] = 0,
) -> Exit | None:
    """Show what happens to an order as it happens, until it is delivered or cancelled."""
    import asyncio

    loop = asyncio.get_running_loop()
    until = loop.time() + timeout if timeout else None
    seen: set[str] = set()
    status = "unknown"
    while True:
        async for item in _items(at, number):
            if (key := f"{item['at']} {item['service']} {item['kind']} {item['summary']}") not in seen:
                seen.add(key)
                if item["service"] == "orchestrator":
                    status = (item.get("details") or {}).get("status") or status
                at.out.line(
                    item, f"{at.out.moment(item['at'])}  {item['service']}  {item['kind']}  {at.out.told(item)}"
                )
        if status in _LAST:
            return None
        if until is not None and loop.time() >= until:
            at.out.note(f"the order is {status}")
            return Exit.TIMED_OUT
        await asyncio.sleep(_LOOK_EVERY_S)


def _items(at: Context, number: str) -> AsyncIterator[Mapping[str, Any]]:
    return at.suite.walk("orchestrator", filled(_PATH, number=number), at_most=_LONGEST)


def _fits(item: Mapping[str, Any], kind: str | None, service: str | None) -> bool:
    return str(item["kind"]).startswith(kind or "") and service in (None, item["service"])


def build(app: typer.Typer) -> None:
    """Add both."""
    add(app, "timeline", timeline)
    add(app, "watch", watch)
