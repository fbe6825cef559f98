"""The controls a check uses: `/sandbox/{system}/log`, `/sandbox/{system}/faults`, probes, and how they refuse."""

from collections.abc import Mapping
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ValidationError

from sandbox.faults import FaultOrder
from sandbox.gate import OutsideSystem

Model = TypeVar("Model", bound=BaseModel)

_LONGEST_NUMBER = 30  # digits; Python refuses to read thousands


class ControlError(Exception):
    """A control cannot be done; its message goes back as `{"error": …}` with its status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def body_of(request: web.Request, model: type[Model]) -> Model:
    """The control's body; raises pydantic's ValidationError, which `refuse_politely` turns into a 422."""
    return model.model_validate_json(await request.read() or b"{}")


@web.middleware
async def refuse_politely(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn refusals of controls into JSON."""
    try:
        return await handler(request)
    except ControlError as error:
        return web.json_response({"error": str(error)}, status=error.status)
    except ValidationError as error:
        details = [{"field": ".".join(map(str, part["loc"])), "problem": part["msg"]} for part in error.errors()]
        return web.json_response({"error": "the body does not fit", "fields": details}, status=422)


def control_routes(systems: Mapping[str, OutsideSystem]) -> list[web.RouteDef]:
    """Logs, faults and a general reset for `systems`."""

    def system_of(request: web.Request) -> OutsideSystem:
        """The system that the address names."""
        try:
            return systems[request.match_info["system"]]
        except KeyError:
            raise ControlError(404, f"no such system; there are {', '.join(systems)}") from None

    async def get_log(request: web.Request) -> web.Response:
        """A page of the journal."""
        page = system_of(request).journal.page(
            after=_number(request, "after") or 0,
            limit=_number(request, "limit"),
        )
        return web.json_response(page)

    async def clear_log(request: web.Request) -> web.Response:
        """Forget the journal."""
        system_of(request).journal.clear()
        return web.Response(status=204)

    async def get_faults(request: web.Request) -> web.Response:
        """The faults in force."""
        return web.json_response({"items": system_of(request).faults.as_json(), "next_cursor": None})

    async def add_fault(request: web.Request) -> web.Response:
        """Order a fault."""
        system = system_of(request)
        order = await body_of(request, FaultOrder)
        if order.mode not in system.modes:
            raise ControlError(422, f"{system.name} has no such fault; it has {', '.join(sorted(system.modes))}")
        system.faults.add(order)
        return web.json_response({"items": system.faults.as_json(), "next_cursor": None}, status=201)

    async def heal(request: web.Request) -> web.Response:
        """Forget the faults."""
        system_of(request).faults.heal()
        return web.Response(status=204)

    async def let_go(request: web.Request) -> web.Response:
        """Let late calls take effect."""
        return web.json_response({"took_effect": await system_of(request).let_go()})

    async def reset(_: web.Request) -> web.Response:
        """Forget everything."""
        for system in systems.values():
            system.reset()
        return web.Response(status=204)

    return [
        web.get("/sandbox/{system}/log", get_log),
        web.delete("/sandbox/{system}/log", clear_log),
        web.get("/sandbox/{system}/faults", get_faults),
        web.post("/sandbox/{system}/faults", add_fault),
        web.delete("/sandbox/{system}/faults", heal),
        web.post("/sandbox/{system}/late", let_go),
        web.post("/sandbox/reset", reset),
    ]


def _number(request: web.Request, name: str) -> int | None:
    """A query argument that is a whole number of at least 0; `cursor` is another name of `after`."""
    text = request.query.get(name) or (request.query.get("cursor") if name == "after" else None)
    if text is None:
        return None
    if not text.isdecimal() or len(text) > _LONGEST_NUMBER:
        raise ControlError(400, f"{name} is a whole number")
    return int(text)
