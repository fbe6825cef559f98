"""Is anything lost, does anything differ: what services say of themselves asked now, and what their checkers found last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from console.client.operations import SERVICES, operations
from console.client.suite import or_none
from console.client.things import THINGS, services_with, thing_of

if TYPE_CHECKING:
    from console.client.models.orchestrator import OrdersRecalculated
    from console.client.models.refunds import ReconciliationView
    from console.client.suite import Suite

COUNTED = ("received", "confirmed", "spooled", "quarantined", "refused")
"""The ledger's equation: the first is the sum of the others."""
_REASON = "a check: rehearsed, nothing is changed"
Found = tuple[list[str], str | None]
"""What is wrong, and the figures that it follows from, where there are any to be seen."""
Checker = Callable[["Suite", Mapping[str, Any]], Awaitable[Found]]


async def _ledger(suite: Suite, over: Mapping[str, Any]) -> Found:
    """Everything that came in has an outcome, and every order that was acknowledged is at the orchestrator."""
    said = await suite.get("webhook-gateway", "/admin/v1/ledger", **over)
    page = await THINGS["unarrived"].page(suite, limit=1, count=True)
    unarrived = page.count if page.count is not None else len(page.items)
    wrong = []
    if said["difference"]:
        wrong.append(f"{said['received']} came in and {said['outcomes']} have an outcome: {said['difference']} differ")
    if unarrived:
        wrong.append(
            f"{unarrived} order was acknowledged and has not arrived (intake unarrived)"
            if unarrived == 1
            else f"{unarrived} orders were acknowledged and have not arrived (intake unarrived)"
        )
    received, confirmed, spooled, quarantined, refused = (said.get(name, 0) for name in COUNTED)
    sign = "≠" if said["difference"] else "="
    return wrong, (
        f"received {received} {sign} confirmed {confirmed} + spooled {spooled} + quarantined {quarantined} + refused {refused}"
    )


async def _orders(suite: Suite, over: Mapping[str, Any]) -> Found:
    """Each order's state is what its events say; no workflow has crashed."""
    body = {"all": True, "dry_run": True, "reason": _REASON}
    said: OrdersRecalculated = await suite.send("orchestrator", "POST", "/admin/v1/orders/recalculate", body)
    crashed = await THINGS["workflow"].page(suite, state="crashed", limit=1, count=True)
    wrong = []
    if said["differing"]:
        wrong.append(f"orders in a state that their events do not give: {said['differing']} of {said['orders']}")
    if down := crashed.count or len(crashed.items):
        wrong.append(
            f"{down} workflow has crashed (workflow list --state crashed)"
            if down == 1
            else f"{down} workflows have crashed (workflow list --state crashed)"
        )
    return wrong, None


async def _refunds(suite: Suite, over: Mapping[str, Any]) -> Found:
    """The payment systems' registers say of the last days what we say, no difference is open, and what was asked for is known."""
    body = {"dry_run": True, "reason": _REASON, **({"days": over["days"]} if "days" in over else {})}
    said: ReconciliationView = await suite.send("refunds", "POST", "/admin/v1/reconciliation", body)
    still = await THINGS["difference"].page(suite, open=True, limit=1, count=True)
    wrong = [f"{name}: {state}" for name, state in said["registers"].items() if state != "compared"]
    wrong += [  # the release before names none
        f"{name} could not be compared: a fault of the service, see its log (task_failed)"
        for name in said.get("failed", ())
    ]
    wrong += [f"{each.get('kind')} of order {each.get('order_number')}" for each in said["differences"]]
    if unanswered := said["unanswered"]:
        wrong.append(
            f"{unanswered} refund could not be asked about"
            if unanswered == 1
            else f"{unanswered} refunds could not be asked about"
        )
    verdicts = (await last_verdicts(suite)).get("orchestrator") or ()
    asked_for = next((each for each in verdicts if each["name"] == "refund-requests"), None)
    if asked_for is None:
        wrong.append("orchestrator does not say whether each refund that was asked for is known to the refunds service")
    elif asked_for["found"]:
        wrong.append(asked_for["detail"])
    if left := still.count or len(still.items):
        wrong.append(
            f"{left} difference is open (difference list --open)"
            if left == 1
            else f"{left} differences are open (difference list --open)"
        )
    return wrong, None


async def _dead_letters(suite: Suite, over: Mapping[str, Any]) -> Found:
    """No message that a service could not read waits for somebody's decision."""
    holders = services_with("dead-letter")
    pages = await asyncio.gather(
        *(thing_of("dead-letter", holder).page(suite, open=True, limit=1, count=True) for holder in holders)
    )
    wrong = [
        f"{left} dead letter of {holder} is open (dead-letter list --service={holder} --open)"
        if left == 1
        else f"{left} dead letters of {holder} are open (dead-letter list --service={holder} --open)"
        for holder, page in zip(holders, pages, strict=True)
        if (left := page.count or len(page.items))
    ]
    return wrong, None


async def _audit(suite: Suite, over: Mapping[str, Any]) -> Found:
    """No record of a service's audit log was altered: what each found when it worked its chain of records out anew, every hour."""
    wrong = []
    for service, verdicts in (await last_verdicts(suite)).items():
        mine = next((each for each in verdicts or () if each["name"] == "audit"), None)
        if mine is None:
            wrong.append(f"{service} does not say whether its audit log was altered")
        elif mine["found"]:
            wrong.append(f"the audit log of {service} was altered: {mine['detail']}")
    return wrong, None


CHECKS: dict[str, Checker] = {
    "ledger": _ledger,
    "orders": _orders,
    "refunds": _refunds,
    "dead-letters": _dead_letters,
    "audit": _audit,
}
"""By name. Each asks services for what they rehearse or count, and changes nothing; it needs an operator."""


async def unsettled(suite: Suite) -> list[str]:
    """Say what is not lost and still waits for a person, each with how many there are and the command that lists them."""

    async def count(noun: str, **query: str) -> int | None:
        """Count such things; None where the service does not say."""
        page = await or_none(THINGS[noun].page(suite, **query, limit=1, count=True))
        return None if page is None else page.count or len(page.items)

    hooks, waiting, unknown, failed = await asyncio.gather(
        count("intake", outcome="quarantined", undecided="true"),
        count("endangered", state="open"),
        count("refund", state="UNKNOWN"),
        count("refund", state="ERROR"),
    )
    said = [
        (hooks, f"quarantined hooks wait for a decision: {hooks} (intake list --outcome=quarantined --undecided)"),
        (waiting, f"customers wait, their orders are endangered: {waiting} (endangered list --state=open)"),
        (unknown, f"refunds of which nobody knows: {unknown} (refund list --state=UNKNOWN)"),
        (failed, f"refunds that failed: {failed} (refund list --state=ERROR)"),
    ]
    away = ["not known all that waits for a person"] if None in (hooks, waiting, unknown, failed) else []
    return [line for number, line in said if number] + away


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a check found. ``wrong`` is None where it could not be found out: ``problem`` says why. ``at`` is when it was looked.

    ``figures``: what it follows from, where there is something to be counted.
    """

    name: str
    at: str
    wrong: Sequence[str] | None
    problem: str | None = None
    figures: str | None = None

    @property
    def word(self) -> str:
        """The verdict in a word."""
        return "unknown" if self.wrong is None else "differs" if self.wrong else "holds"


async def check(suite: Suite, name: str, over: Mapping[str, Any]) -> Verdict:
    """Run a check. Raises what the services raise."""
    wrong, figures = await CHECKS[name](suite, over)
    return Verdict(name=name, at=datetime.now(UTC).isoformat(), wrong=wrong, figures=figures)


async def last_verdicts(suite: Suite) -> Mapping[str, Sequence[Mapping[str, Any]] | None]:
    """Return by service what its own checkers found when they looked last, None where it could not say."""
    keepers = [each for each in SERVICES if (each, "GET", "/admin/v1/verdicts") in operations()]

    pages = await asyncio.gather(*(or_none(suite.page(keeper, "/admin/v1/verdicts")) for keeper in keepers))
    return {keeper: None if page is None else page.items for keeper, page in zip(keepers, pages, strict=True)}
