"""Every command of ``ordersctl`` as a table: with which words it is run on the running suite, and what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

World = Mapping[str, str]
"""Names of what was brought about for these commands, by what it is."""
Holds = Callable[[Any, World], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A command that only looks. In ``words`` and ``shown`` stand names of the world, as ``{order}``.

    ``shown``: what a person at a terminal reads; ``holds``: what is true of the result as JSON (``lines``: of a JSON document a line);
    ``form`` None: it has no other form than words. ``code``: how it ends, None: by what it finds, and the test says how. ``times``: so
    often a person looks until it is so, for while all commands run at once a database may take longer than a service waits for it.
    """

    command: str
    words: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    holds: Holds = field(default=lambda _, __: True)
    form: str | None = "json"
    code: int | None = 0
    times: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Do:
    """A command that changes something: rehearsed as JSON, then done at the terminal, where reason and consent are asked for.

    ``target``: the one thing that it is done to, None where that comes into being. ``done``: the words of how it came out. ``role``: as
    whom. ``code``: how it ends once its effect was watched to the end; 1 where the cause is not mended. ``watched``: whether the effect
    stays as it is seen.
    """

    command: str
    target: str | None = None
    words: tuple[str, ...] = ()
    done: str
    role: str = "operator"
    code: int = 0
    watched: bool = True


Step = Look | Do


def _has(**wanted: str) -> Holds:
    """One of the list has these values."""

    def look(items: Any, world: World) -> bool:
        asked = {name: value.format_map(world) for name, value in wanted.items()}
        return any(all(str(item.get(name)) == value for name, value in asked.items()) for item in items)

    return look


def _is(**wanted: str) -> Holds:
    """The thing has these values."""
    return lambda thing, world: _has(**wanted)([thing], world)


def _rows(*names: str) -> Holds:
    """Each of the list has these fields."""
    return lambda items, _: all(set(names) <= item.keys() for item in items)


def _verdicts(*names: str) -> Holds:
    return lambda rows, _: (
        [row["check"] for row in rows] == list(names) and all(row["verdict"] in ("holds", "differs") for row in rows)
    )


SUITE: tuple[Step, ...] = (
    Look(
        command="whoami",
        shown=("oleg", "operator", "refunds"),
        holds=_has(service="tips", name="oleg", role="operator"),
    ),
    Look(
        command="status",
        shown=("webhook-gateway", "ready", "crashed workflows"),
        holds=lambda said, _: {each["state"] for each in said["services"]} == {"ready"},
        code=1,
    ),
    Look(command="find", words=("{order}",), shown=("order", "{order}"), holds=_has(kind="order", name="{order}")),
    Look(command="open", words=("{order}",), shown=("{console}/o/{order}",), holds=_is(address="{console}/o/{order}")),
    Look(
        command="tail",
        words=("--only", "intake", "--for", "1"),
        holds=lambda lines, _: all(line["kind"] == "intake" for line in lines),
        form="lines",
    ),
    Look(
        command="api",
        words=("GET", "/admin/v1/orders?number={order}", "-s", "orchestrator"),
        shown=('"number": "{order}"',),
        holds=lambda page, world: [item["number"] for item in page["items"]] == [world["order"]],
    ),
    Look(command="completion", words=("bash",), shown=("complete -o default -F _ordersctl ordersctl",), form=None),
    Look(command="profile list", shown=("local-viewer", "suite.json"), holds=_has(name="local-admin")),
    Look(command="profile show", words=("local",), shown=("{console}",), holds=_is(name="local", console="{console}")),
    Look(command="profile use", words=("local",), shown=("now local",), form=None),
    Look(command="profile token", words=("local",), shown=("not from the keyring",), form=None, code=2),
    Look(command="login", shown=("names no OpenID provider",), form=None, code=2),
    Look(command="logout", shown=("names no OpenID provider",), form=None, code=2),
    Look(command="check ledger", shown=("received",), holds=_verdicts("ledger"), code=None),
    Look(command="check orders", shown=("orders", "differs", "NOT proved"), holds=_verdicts("orders"), code=1),
    Look(command="check refunds", shown=("refunds",), holds=_verdicts("refunds"), code=None),
    Look(command="check dead-letters", shown=("dead-letters",), holds=_verdicts("dead-letters"), code=None),
    Look(command="check audit", shown=("audit", "holds"), holds=_verdicts("audit"), code=0),
    Look(
        command="check all",
        shown=("ledger", "dead-letters", "NOT proved"),
        holds=_verdicts("ledger", "orders", "refunds", "dead-letters", "audit"),
        code=1,
    ),
)
ORDERS: tuple[Step, ...] = (
    Look(
        command="order list",
        words=("--number", "{order}"),
        shown=("{order}", "paid"),
        holds=_has(number="{order}", status="paid"),
    ),
    Look(
        command="order show", words=("{order}",), shown=("{order}", "paid", "170.00 RUB"), holds=_is(number="{order}")
    ),
    Look(
        command="order timeline",
        words=("{order}",),
        shown=("hook.received", "order.pay", "MSK"),
        holds=_has(service="orchestrator", kind="order.pay"),
    ),
    Look(
        command="order watch",
        words=("{order}", "--timeout", "1"),
        shown=("order.pay", "the order is paid"),
        holds=_has(kind="order.pay"),
        form="lines",
        code=4,
    ),
    Look(command="payment list", words=("--order", "{order}"), holds=_rows("payment_id", "captured", "left")),
    Look(
        command="tips explain",
        words=("{order}",),
        shown=("tips", "rule"),
        holds=lambda said, _: bool(said["tips"]["steps"]),
    ),
    Look(
        command="tips shadow", shown=("compared",), holds=lambda said, _: said["compared"] >= said["agreed"], code=None
    ),
    Look(command="message list", words=("--order", "{order}"), shown=("order.paid",), holds=_has(kind="order.paid")),
    Look(command="message show", words=("{message}",), shown=("{message}",), holds=_is(notice_id="{message}")),
    Do(command="order recalculate", target="{order}", done="recalculated"),
    Do(command="order refund", target="{order}", words=("--amount", "85.00"), done="refund"),
    Do(command="order reissue", target="{order}", done="reissue"),
    Do(command="order deliver", target="{order}", done="deliver"),
    Look(command="stock-movement list", shown=("store_id", "quantity"), holds=_rows("store_id", "quantity")),
    Do(command="order correct", target="{new_order}", words=("--comment", "to the back door"), done="correct"),
    Do(command="order cancel", target="{new_order}", done="cancel"),
    Do(
        command="order enter-event",
        words=("--source", "sbermarket", "--event-type", "order.created", "--payload", "{payload}"),
        done="enter-event",
    ),
    Do(
        command="customer erase",
        words=("--order-number", "{new_order}"),
        done="erased",
        role="admin",
        watched=False,  # of an order that was just cancelled people are still told
    ),
)
WORKFLOWS: tuple[Step, ...] = (
    Look(
        command="workflow list",
        words=("--state", "crashed"),
        shown=("crashed", "{crashed}"),
        holds=_has(id="{crashed}", state_name="crashed"),
    ),
    Look(command="workflow show", words=("{crashed}",), shown=("{crashed}", "crashed"), holds=_is(id="{crashed}")),
    Look(
        command="event list",
        words=("--workflow-id", "{crashed}", "--state", "failed"),
        shown=("failed",),
        holds=_has(workflow_id="{crashed}", state_name="failed"),
    ),
    Look(
        command="event show",
        words=("{failed_event}",),
        shown=("{failed_event}", "failed"),
        holds=_is(id="{failed_event}", state_name="failed"),
    ),
    Do(command="workflow retry", target="{crashed}", done="retried", code=1),
    Do(command="workflow stop", target="{running}", done="stopped"),
    Do(command="workflow resume", target="{running}", done="resumed"),
    Do(command="event reprocess", target="{done_event}", done="reprocess"),
    Do(command="event skip", target="{failed_event}", done="skipped"),
    Do(command="event mend", target="{mended_event}", words=("--payload", "{readable}"), done="mend"),
    Look(command="parked list", shown=("order.cancelled", "{parked}"), holds=_has(order_number="{parked}")),
    Do(command="parked give-up", target="{parked}", done="given_up"),
    Look(
        command="flag get",
        words=("tips_service_shadow",),
        shown=("tips_service_shadow",),
        holds=_is(name="tips_service_shadow"),
    ),
    Do(command="flag set", target="tips_service_shadow", words=("--no-enabled",), done="set", role="admin"),
)
MONEY: tuple[Step, ...] = (
    Look(command="refund list", words=("--state", "ERROR"), shown=("{refund}", "85.00 RUB"), holds=_has(id="{refund}")),
    Look(
        command="refund show",
        words=("{refund}",),
        shown=("{refund}", "ERROR"),
        holds=_is(id="{refund}", state_name="ERROR"),
    ),
    Look(
        command="refund evidence",
        words=("{refund}",),
        shown=("attempts",),
        holds=lambda said, _: said["attempts"][0]["attempt"] == 1,
    ),
    Look(command="payment show", words=("{payment}",), shown=("{payment}",), holds=_is(payment_id="{payment}")),
    Look(command="refund history", words=("{refund}",), shown=("SENDING",), holds=_has(after_name="ERROR")),
    Do(command="refund check", target="{refund}", done="check", code=1),
    Do(command="refund close", target="{refund}", words=("--settled", "outside"), done="close"),
    Do(command="refund restart", target="{other_refund}", done="restarted", code=1),
    Look(command="difference list", shown=("{difference}",), holds=_has(id="{difference}")),
    Look(command="difference show", words=("{difference}",), shown=("unknown_to_us",), holds=_is(id="{difference}")),
    Do(command="difference acknowledge", target="{difference}", done="acknowledge"),
    Do(
        command="difference adopt",
        target="{other_difference}",
        words=("--order-number", "{told_order}"),
        done="adopt",
    ),
)
INTAKE: tuple[Step, ...] = (
    Look(
        command="intake list",
        words=("--outcome", "quarantined", "--undecided"),
        shown=("{quarantined}",),
        holds=_has(id="{quarantined}", outcome="quarantined"),
    ),
    Look(
        command="intake show", words=("{quarantined}",), shown=("{quarantined}", "milk"), holds=_is(id="{quarantined}")
    ),
    Look(
        command="intake countdowns",
        shown=("{countdown}", "running"),
        holds=_has(external_id="{countdown}", state="running"),
    ),
    Look(command="intake countdown", words=("{number}",), shown=("{countdown}",), holds=_is(external_id="{countdown}")),
    Look(command="intake unarrived", shown=("acknowledged_at",), holds=_rows("number", "acknowledged_at")),
    Look(command="intake sources", shown=("sbermarket",), holds=_has(source="sbermarket")),
    Do(command="intake dismiss", target="{quarantined}", done="dismissed"),
    Do(command="intake mend", target="{other_quarantined}", words=("--body", "{body}"), done="mend"),
    Do(command="intake replay", target="{delivery}", done="replayed"),
    Look(command="limits list", words=("--phone", "{phone}"), shown=("phone", "{limit}"), holds=_has(id="{limit}")),
    Look(command="limits show", words=("{limit}",), shown=("phone",), holds=_is(id="{limit}")),
    Do(command="limits lift", words=("--id", "{limit}"), done="lift"),
    Look(
        command="dead-letter list",
        words=("--service", "notifier", "--open"),
        shown=("{letter}", "alerts"),
        holds=_has(id="{letter}", service="notifier"),
    ),
    Look(
        command="dead-letter show",
        words=("{letter}", "--service", "notifier"),
        shown=("notifier", "{letter}"),
        holds=_is(id="{letter}", service="notifier"),
    ),
    Do(command="dead-letter replay", target="{letter}", words=("--service", "notifier"), done="replayed", code=1),
    Do(
        command="dead-letter mend",
        target="{other_letter}",
        words=("--service", "orchestrator", "--patch", "{note}"),
        done="mended",
    ),
    Do(
        command="dead-letter dismiss", target="{third_letter}", words=("--service", "webhook-gateway"), done="dismissed"
    ),
)
WEBSITE: tuple[Step, ...] = (
    Look(
        command="endangered list",
        words=("--state", "new"),
        shown=("{endangered}",),
        holds=_has(id="{endangered}", state="new"),
    ),
    Look(command="endangered show", words=("{endangered}",), shown=("+7926", "draft"), holds=_is(id="{endangered}")),
    Do(command="endangered call", target="{endangered}", words=("--reached",), done="call"),
    Do(command="endangered mend", target="{endangered}", words=("--body", "{basket}"), done="mend"),
    Do(command="endangered resubmit", target="{endangered}", done="resubmitted"),
    Do(
        command="endangered report",
        target="{endangered}",
        words=("--cause", "a basket in words", "--remedy", "we called her back"),
        done="reported",
    ),
    Do(command="endangered close", target="{endangered}", done="closed"),
    Do(command="endangered own-test", target="{other_endangered}", done="own_test"),
)
PEOPLE: tuple[Step, ...] = (
    Look(
        command="incident list",
        words=("--state", "open"),
        shown=("{incident}",),
        holds=_has(id="{incident}", state="open"),
    ),
    Look(
        command="incident show",
        words=("{incident}",),
        shown=("tips is slow",),
        holds=_is(id="{incident}", severity="warning"),
    ),
    Do(command="incident ack", target="{incident}", done="acknowledged"),
    Do(command="incident comment", target="{incident}", done="comment"),
    Do(command="incident resolve", target="{incident}", done="resolved"),
    Do(command="incident recipe", target="{crash_told}", words=("retry_workflow",), done="started", code=1),
    Look(
        command="ticket list", words=("--state", "open"), shown=("{ticket}",), holds=_has(key="{ticket}", state="open")
    ),
    Look(command="ticket show", words=("{ticket}",), shown=("The customer waits",), holds=_is(key="{ticket}")),
    Do(command="ticket open", words=("--summary", "The customer waits", "--text", "since noon"), done="open"),
    Do(command="ticket comment", target="{ticket}", words=("--text", "called her"), done="comment"),
    Do(command="ticket assign", target="{ticket}", words=("--assignee", "anna"), done="assign"),
    Do(command="ticket summon", target="{ticket}", done="summon"),
    Do(command="ticket link", target="{ticket}", words=("--ticket", "{other_ticket}"), done="link"),
    Do(
        command="ticket development-ticket",
        target="{ticket}",
        words=("--summary", "Mend the cause"),
        done="development-ticket",
    ),
    Do(command="ticket close", target="{ticket}", done="close"),
    Look(command="silence list", shown=("{silence}",), holds=_has(id="{silence}")),
    Look(command="silence show", words=("{silence}",), shown=("created_by",), holds=_is(id="{silence}")),
    Do(command="silence end", target="{silence}", done="end"),
    Do(command="silence add", words=("--match-alert", "{alert}", "--ends-at", "+1h"), done="add"),
    Look(command="known-defect list", shown=("DEV-1",), holds=_has(id="{known_defect}")),
    Look(command="known-defect show", words=("{known_defect}",), shown=("DEV-1",), holds=_is(id="{known_defect}")),
    Do(command="known-defect end", target="{known_defect}", done="end"),
    Do(
        command="known-defect add",
        words=("--match-alert", "{alert}", "--development-ticket", "DEV-2"),
        done="add",
    ),
    Do(command="message test", words=("--destination", "pickers-42", "--text", "do you read me?"), done="test"),
    Do(command="instruction set", target="dead_letter", words=("--text", "Call the shop."), done="set"),
    Look(command="unread-alert list", shown=("seen",), holds=_rows("sender", "seen", "reason")),
    Look(command="alert-sender list", shown=("heard",), holds=_has(id="{sender}", state="heard")),
    Look(command="unread-alert show", words=("0",), shown=("not_found",), form=None, code=3),
    Look(command="alert-sender show", words=("{sender}",), shown=("heard",), holds=_is(id="{sender}")),
    Do(command="alert-sender give-up", target="{sender}", done="give-up"),
)
DUTY: tuple[Step, ...] = (
    Look(command="duty now", shown=("on_duty",), holds=lambda said, _: bool(said["on_duty"]["id"])),
    Look(command="roster show", shown=("first_week", "rotation"), holds=lambda said, _: "oleg" in said["rotation"]),
    Look(
        command="people show",
        shown=("seniors",),
        holds=lambda said, _: "oleg" in [each["id"] for each in said["people"]],
    ),
    Look(command="duty weeks", shown=("on_duty", "backup"), holds=lambda said, _: bool(said["shifts"]), code=None),
    Do(
        command="duty override",
        words=("--person", "anna", "--starts-at", "+1000h", "--ends-at", "+1001h"),
        done="override",
    ),
    Look(command="duty list", shown=("anna", "created_by"), holds=_has(id="{override}", person="anna")),
    Look(command="duty show", words=("{override}",), shown=("anna",), holds=_is(id="{override}", created_by="oleg")),
    Do(command="duty undo", target="{override}", done="undo"),
    Do(command="duty swap", words=("{monday}", "{next_monday}"), done="override"),
    Do(command="duty take", words=("--until", "+2h"), done="override"),
    Do(command="duty confirm", done="confirm"),
)
CHAINS: Mapping[str, tuple[Step, ...]] = {
    "suite": SUITE,
    "orders": ORDERS,
    "workflows": WORKFLOWS,
    "money": MONEY,
    "intake": INTAKE,
    "website": WEBSITE,
    "people": PEOPLE,
    "duty": DUTY,
}
"""Steps of one chain are taken one after the other, chains at once."""
APART = frozenset({"apply", "audit", *("roster set", "people set")})
"""Commands whose proof is made of what the others did; and those that put a whole file, which has a test of its own that puts it back."""
