"""``status`` and ``whoami``: is anything wrong, and who am I here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from console.cli.commands import Context, add
from console.cli.exits import Exit
from console.cli.output import Columns
from console.client.operations import SERVICES
from console.client.things import services_with, thing_of

_SERVICES = Columns(("service", "state", "checks", "url"), name="service")
_QUEUES = Columns(
    ("service", "name", "replica", "waiting", "oldest_seconds", "state"),
    ("late_after_seconds", "late_above", "as_of"),
    name="name",
)
_NEEDED = Columns(("what", "count", "silenced", "look"), name="what")
_MOST_SILENCED = 200
"""So many incidents are looked at for how many of them are silenced."""
_Need = tuple[str, str, dict[str, str]]
_NEEDS: tuple[_Need, ...] = (
    ("orders that the marketplace will cancel", "countdown", {"state": "running"}),
    ("critical incidents that nobody took", "incident", {"state": "open", "severity": "critical"}),
    ("endangered orders to be dealt with", "endangered", {"state": "open"}),
    ("crashed workflows", "workflow", {"state": "crashed"}),
    ("refunds in error", "refund", {"state": "ERROR"}),
    ("refunds whose fate is unknown", "refund", {"state": "UNKNOWN"}),
    ("differences with payment systems", "difference", {"open": "true"}),
    ("quarantined hooks", "intake", {"outcome": "quarantined", "undecided": "true"}),
    ("orders acknowledged that have not arrived", "unarrived", {}),
    ("warnings that nobody took", "incident", {"state": "open", "severity": "warning"}),
)
"""What needs a person, the most dangerous first: its words, the kind of thing, and what chooses it."""
_DEAD_LETTERS: _Need = ("dead letters that nobody decided about", "dead-letter", {"open": "true"})


async def status(at: Context) -> Exit | None:
    """Say whether each service is ready, what waits in it, what needs a person, and what is missing for one to be told.

    1: not all is well.
    """
    import asyncio

    from console.client.queues import waiting_in
    from console.client.suite import allowed_or_none

    services, held_by, needed, coverage = await asyncio.gather(
        asyncio.gather(*(_service(at, service) for service in SERVICES)),
        asyncio.gather(*(waiting_in(at.suite, each) for each in SERVICES)),
        asyncio.gather(
            *(_needed(at, *need) for need in _NEEDS),
            *(_needed(at, *_DEAD_LETTERS, holder) for holder in services_with("dead-letter")),
        ),
        allowed_or_none(at.suite.get("notifier", "/admin/v1/coverage")),
    )
    waiting = dict(zip(SERVICES, held_by, strict=True))
    queues = [
        {"service": service, **queue} for service, held in waiting.items() if held is not None for queue in held.queues
    ]
    unknown = [service for service, held in waiting.items() if held is None or not held.complete]
    answered = [item for item in needed if item["count"] not in ("0", 0)]
    missing = coverage["missing"] if coverage else []
    if at.out.for_programs:
        at.out.thing(
            {
                "services": list(services),
                "queues": queues,
                "queues_unknown": unknown,
                "needed": list(needed),
                "missing": missing if coverage else None,
            }
        )
    else:
        at.out.rows(_worded(at, services), _SERVICES)
        if queues:
            at.out.rows(_worded(at, queues), _QUEUES)
        for service in unknown:
            at.out.note(f"what waits in {service} is not known", style="yellow")
        if answered:
            at.out.rows(_worded(at, answered), _NEEDED)
        for hole in missing:
            at.out.note(f"somebody would not be told: {hole['what']}: {hole['detail']}", style="red")
        if coverage is None:
            at.out.note("whether a critical problem would reach a person is not known", style="yellow")
        if not answered and coverage is not None and not missing:
            at.out.note("nothing needs a person")
    if any(service["state"] == "unreachable" for service in services):
        return Exit.UNREACHABLE
    late = any(queue["state"] == "late" for queue in queues)
    ready = all(service["state"] == "ready" for service in services)
    well = ready and not (answered or missing or late) and coverage is not None
    return Exit.DONE if well else Exit.REFUSED


def _worded(at: Context, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return rows with their states as a person reads them: nobody copies these."""
    if not at.out.for_people:
        return rows
    return [
        {**row, **{name: at.out.say(row[name]) for name in ("state", "count") if isinstance(row.get(name), str)}}
        for row in rows
    ]


async def _service(at: Context, service: str) -> dict[str, Any]:
    from console.client.suite import RefusedError, UnreachableError

    said = {"service": service, "url": at.profile.services.get(service)}
    try:
        checks = (await at.suite.get(service, "/readyz")).get("checks", {})
        return {**said, "state": "ready", "checks": "; ".join(f"{name} {state}" for name, state in checks.items())}
    except RefusedError as error:
        return {**said, "state": "not ready", "checks": "; ".join(error.unready)}
    except UnreachableError as error:
        return {**said, "state": "unreachable", "checks": str(error)}


async def _needed(
    at: Context, what: str, noun: str, query: dict[str, str], service: str | None = None
) -> dict[str, Any]:
    from console.client.commands import of_list
    from console.client.suite import allowed_or_none

    look = of_list(noun, query, service=service)
    what += f" ({service})" if service else ""
    limit = _MOST_SILENCED if noun == "incident" else 1
    page = await allowed_or_none(thing_of(noun, service).page(at.suite, **query, limit=limit, count=True))
    if page is None:
        return {"what": what, "count": "unknown", "silenced": None, "look": look}
    count = page.count if page.count is not None else len(page.items)
    silenced = sum(bool(item.get("silenced_until")) for item in page.items) or None
    return {"what": what, "count": count if page.exact else f"{count}+", "silenced": silenced, "look": look}


async def whoami(at: Context) -> Exit | None:
    """Say who this profile's token is, and its role in each service."""
    from console.client.suite import RefusedError, UnreachableError

    rows, codes = [], []
    for service in SERVICES:
        try:
            said = await at.suite.get(service, "/admin/v1/whoami")
            rows.append({"service": service, **said})
        except RefusedError as error:
            codes.append(Exit.NO_RIGHT)
            rows.append({"service": service, "name": None, "role": f"refused: {error.detail}"})
        except UnreachableError:
            codes.append(Exit.UNREACHABLE)
            rows.append({"service": service, "name": None, "role": "unreachable"})
    at.out.rows(rows, Columns(("service", "name", "role"), ("permissions",), name="name"))
    return max(codes, default=None)


def build_status(app: typer.Typer) -> None:
    """Add ``status``."""
    add(app, "status", status)


def build_whoami(app: typer.Typer) -> None:
    """Add ``whoami``."""
    add(app, "whoami", whoami)
