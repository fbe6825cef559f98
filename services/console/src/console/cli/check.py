"""``check all|ledger|orders|refunds``: one verdict over what the services say of themselves. 0: nothing is lost and nothing differs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.cli.commands import Context, add
from console.cli.exits import EndedError, Exit
from console.cli.fields import read_moment
from console.cli.output import Columns
from console.client.things import THINGS

if TYPE_CHECKING:
    from console.client.models.orchestrator import OrdersRecalculated
    from console.client.models.refunds import ReconciliationView
    from console.client.models.webhook_gateway import Ledger

_COLUMNS = Columns(("check", "verdict", "detail"), name="check")
_REASON = "ordersctl check: rehearsed, nothing is changed"
Checker = Callable[[Context, Mapping[str, Any]], Awaitable[list[str]]]


async def _ledger(at: Context, over: Mapping[str, Any]) -> list[str]:
    """Everything that came in has an outcome, and every order that was acknowledged is at the orchestrator."""
    said: Ledger = await at.suite.get("webhook-gateway", "/admin/v1/ledger", **over)
    page = await THINGS["unarrived"].page(at.suite, limit=1, count=True)
    unarrived = page.count if page.count is not None else len(page.items)
    wrong = []
    if said["difference"]:
        wrong.append(f"{said['received']} came in and {said['outcomes']} have an outcome: {said['difference']} differ")
    if unarrived:
        wrong.append(f"{unarrived} orders were acknowledged and have not arrived (intake unarrived)")
    return wrong


async def _orders(at: Context, over: Mapping[str, Any]) -> list[str]:
    """Each order's state is what its events say; no workflow has crashed."""
    body = {"all": True, "dry_run": True, "reason": _REASON}
    said: OrdersRecalculated = await at.suite.send("orchestrator", "POST", "/admin/v1/orders/recalculate", body)
    crashed = await THINGS["workflow"].page(at.suite, state="crashed", limit=1, count=True)
    wrong = []
    if said["differing"]:
        wrong.append(f"{said['differing']} of {said['orders']} orders are in a state that their events do not give")
    if crashed.count or crashed.items:
        wrong.append(f"{crashed.count or len(crashed.items)} workflows have crashed (workflow list --state crashed)")
    return wrong


async def _refunds(at: Context, over: Mapping[str, Any]) -> list[str]:
    """The payment systems' registers say of the last days what we say, and no difference is open."""
    body = {"dry_run": True, "reason": _REASON, **({"days": over["days"]} if "days" in over else {})}
    said: ReconciliationView = await at.suite.send("refunds", "POST", "/admin/v1/reconciliation", body)
    still = await THINGS["difference"].page(at.suite, open=True, limit=1, count=True)
    wrong = [f"{name}: {state}" for name, state in said["registers"].items() if state != "compared"]
    wrong += [f"{each.get('kind')} of order {each.get('order_number')}" for each in said["differences"]]
    if said["unanswered"]:
        wrong.append(f"{said['unanswered']} refunds could not be asked about")
    if still.count or still.items:
        wrong.append(f"{still.count or len(still.items)} differences are open (difference list --open)")
    return wrong


CHECKS: dict[str, Checker] = {"ledger": _ledger, "orders": _orders, "refunds": _refunds}


def _command(names: tuple[str, ...]) -> Callable[..., Awaitable[Exit | None]]:
    async def run(
        at: Context,
        *,
        since: Annotated[str | None, typer.Option(help="the ledger from then on (-1d unless given)")] = None,
        days: Annotated[int | None, typer.Option(min=1, max=365, help="the registers of the last days")] = None,
    ) -> Exit | None:
        import asyncio

        over: dict[str, Mapping[str, Any]] = {
            "ledger": {"from": read_moment(since, "--since")} if since else {},
            "refunds": {"days": days} if days else {},
        }
        verdicts = await asyncio.gather(*(_verdict(at, name, over.get(name, {})) for name in names))
        at.out.rows([row for row, _ in verdicts], _COLUMNS)
        codes = {code for _, code in verdicts}
        at.out.note("nothing is lost, nothing differs" if codes == {Exit.DONE} else "NOT proved", style="bold")
        return Exit.REFUSED if Exit.REFUSED in codes else max(codes)

    return run


async def _verdict(at: Context, name: str, over: Mapping[str, Any]) -> tuple[dict[str, Any], Exit]:
    from console.cli.exits import told
    from console.client.suite import RefusedError, UnreachableError

    try:
        wrong = await CHECKS[name](at, over)
    except (RefusedError, UnreachableError, EndedError) as error:
        said, code = told(error) or (str(error), Exit.REFUSED)
        return {"check": name, "verdict": "unknown", "detail": said}, code
    row = {"check": name, "verdict": "differs" if wrong else "holds", "detail": "; ".join(wrong) or None}
    return row, Exit.REFUSED if wrong else Exit.DONE


def build(app: typer.Typer) -> None:
    """Add a command for each check, and one for all."""
    for name, checker in CHECKS.items():
        add(app, name, _command((name,)), about=checker.__doc__ or "")
    add(app, "all", _command(tuple(CHECKS)), about="All checks, one verdict")
