"""What can be done: for each act the operation of the service that does it, to one thing or to many, and how its effect is seen.

Both tools are made of this table. What an act asks for besides a reason, and the role it needs, stands in the service's own document.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from console.client import effects
from console.client.effects import Effect, of_erasure, of_letter
from console.client.operations import Field, Operation, operation, operations
from console.client.things import THINGS, Thing


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something a person does. At least one of ``one`` and ``many`` is set; ``many`` is preferred, for it works by a plan.

    ``key``: the place in the path of ``one`` that names the thing; ``place``: another one in it, which a person fills in.
    ``fixed``: fields that the act itself fills.
    ``version_at``: where the version stands (as ``version_in``) that the operation compares with, where that is not the thing's own; of a
    list the newest, of those that say of which thing they are that of the thing.
    ``settled``: the noun whose state shows the effect. ``until``: the states in which the effect
    is there, where the thing may still be as it was when the service has answered; ``newer``: it is there with the next version;
    ``fills``: or with this field, whatever the state. ``aims``: states that the act asks for, however bad they are else.
    ``effect``: where it is seen otherwise. Every act has one of both.
    """

    noun: str
    verb: str
    service: str
    one: str | None = None
    many: str | None = None
    key: str = "id"
    place: Field | None = None
    fixed: dict[str, Any] = field(default_factory=dict)
    version_at: str | None = None
    version_in: str = "version"
    settled: str | None = None
    until: frozenset[str] = frozenset()
    newer: bool = False
    fills: str | None = None
    aims: frozenset[str] = frozenset()
    effect: Effect | None = None

    @property
    def sight(self) -> Thing | Effect | None:
        """What shows the effect."""
        return self.effect or THINGS.get(self.settled or "")

    def failed(self, state: str) -> bool:
        """Tell whether a person is needed for what is in this state after the act. What the act asks for is never bad."""
        return self.sight is not None and state in self.sight.bad - self.aims

    @property
    def asked(self) -> tuple[Field, ...]:
        """What a person fills in besides the reason."""
        return (*(() if self.place is None else (self.place,)), *self.operation.fields)

    @property
    def name(self) -> str:
        """The act in two words."""
        return f"{self.noun} {self.verb}"

    @property
    def by_plan(self) -> Operation | None:
        """The operation that rehearses and does it to many."""
        return operation(self.service, self.many) if self.many else None

    @property
    def by_name(self) -> Operation | None:
        """The operation that does it to one, or to nothing that has a name."""
        return operation(self.service, self.one) if self.one else None

    @property
    def operation(self) -> Operation:
        """The one that is used when both would do."""
        found = self.by_plan or self.by_name
        if found is None:
            raise LookupError(self.name)
        return found

    def summary_of(self, number: int) -> str:
        """Say what it does, of one thing as the service says of one, where it has an operation for one."""
        if number == 1 and self.many is not None:
            path, _, verb = self.operation.path.rpartition("/")
            for (service, method, known), offered in operations().items():
                if (service, method) == (self.service, self.operation.method) and (
                    known.startswith(f"{path}/{{") and known.endswith(f"}}/{verb}")
                ):
                    return offered.summary
        return self.operation.summary

    @property
    def compared(self) -> bool:
        """Tell whether it is done to one thing, and only if that is as it was seen."""
        return self.many is None and self.named and self.operation.takes("expected_version")

    @property
    def named(self) -> bool:
        """Tell whether it is done to a thing that exists already."""
        return self.many is not None or "{" in (self.one or "")


def _acts() -> tuple[Act, ...]:
    orders, intake, notices, refunds = "orchestrator", "webhook-gateway", "notifier", "refunds"
    of_order: dict[str, Any] = {"noun": "order", "service": orders, "key": "number"}
    of_event: dict[str, Any] = {"noun": "event", "service": orders, "version_at": "/admin/v1/workflows/{workflow}"}
    of_ticket: dict[str, Any] = {"noun": "ticket", "service": notices, "key": "key"}
    of_silence: dict[str, Any] = {"noun": "silence", "service": notices}
    of_duty: dict[str, Any] = {"noun": "duty", "service": notices}
    of_defect: dict[str, Any] = {"noun": "known-defect", "service": notices}
    of_endangered: dict[str, Any] = {"noun": "endangered", "service": intake}
    return (
        Act(**of_order, verb="recalculate", many="POST /admin/v1/orders/recalculate", settled="order"),
        Act(**of_order, verb="refund", one="POST /admin/v1/orders/{number}/refund", effect=effects.REFUND),
        Act(
            **of_order,
            verb="reissue",
            one="POST /admin/v1/orders/{number}/document/reissue",
            version_at="/admin/v1/orders/{number}/document/versions",
            effect=effects.ISSUED,
        ),
        *(
            Act(
                **of_order,
                verb=verb,
                one=f"POST /admin/v1/orders/{{number}}/{verb}",
                settled="order",
                until=frozenset({state}),
            )
            for verb, state in (("cancel", "cancelled"), ("deliver", "delivered"))
        ),
        Act(**of_order, verb="correct", one="POST /admin/v1/orders/{number}/correct", settled="order", newer=True),
        Act(noun="order", verb="enter-event", service=intake, one="POST /admin/v1/events", effect=effects.CARRIED_OUT),
        Act(
            noun="parked",
            verb="give-up",
            service=orders,
            many="POST /admin/v1/parked-orders/give-up",
            effect=effects.NOT_PARKED,
        ),
        *(
            Act(
                noun="workflow",
                verb=verb,
                service=orders,
                many=f"POST /admin/v1/workflows/{verb}",
                settled="workflow",
                aims=frozenset({"stopped"}) if verb == "stop" else frozenset(),
            )
            for verb in ("stop", "resume", "retry")
        ),
        Act(**of_event, verb="reprocess", one="POST /admin/v1/workflow-events/{id}/reprocess", effect=effects.APPENDED),
        Act(
            noun="event",
            verb="skip",
            service=orders,
            many="POST /admin/v1/workflow-events/skip",
            effect=effects.DECIDED,
        ),
        Act(**of_event, verb="mend", one="POST /admin/v1/workflow-events/{id}/mend", effect=effects.APPENDED),
        Act(noun="refund", verb="restart", service=refunds, many="POST /admin/v1/refunds/restart", settled="refund"),
        Act(noun="refund", verb="check", service=refunds, one="POST /admin/v1/refunds/{id}/check", settled="refund"),
        Act(noun="refund", verb="close", service=refunds, one="POST /admin/v1/refunds/{id}/close", settled="refund"),
        *(
            Act(
                noun="difference",
                verb=verb,
                service=refunds,
                one=f"POST /admin/v1/differences/{{id}}/{verb}",
                effect=effects.SETTLED,
            )
            for verb in ("adopt", "acknowledge")
        ),
        *(
            Act(noun="intake", verb=verb, service=intake, many=f"POST /admin/v1/deliveries/{verb}", effect=effect)
            for verb, effect in (("replay", effects.CARRIED_OUT), ("dismiss", effects.DISMISSED))
        ),
        Act(
            noun="intake",
            verb="mend",
            service=intake,
            one="POST /admin/v1/deliveries/{id}/replay",
            effect=effects.CARRIED_OUT,
        ),
        Act(**of_endangered, verb="mend", one="POST /admin/v1/endangered-orders/{id}/mend", settled="endangered"),
        Act(**of_endangered, verb="call", one="POST /admin/v1/endangered-orders/{id}/call", effect=effects.CALLED),
        Act(
            **of_endangered,
            verb="own-test",
            one="POST /admin/v1/endangered-orders/{id}/own-test",
            settled="endangered",
            until=frozenset({"closed"}),
        ),
        *(
            Act(
                **of_endangered,
                verb=verb,
                many=f"POST /admin/v1/endangered-orders/{verb}",
                settled="endangered",
                until=frozenset({state, "closed"}),
                fills="number" if verb == "resubmit" else None,  # one that was reported stays reported
            )
            for verb, state in (("resubmit", "resubmitted"), ("report", "reported"), ("close", "closed"))
        ),
        Act(noun="limits", verb="lift", service=intake, one="DELETE /admin/v1/order-limits", effect=effects.LIFTED),
        Act(noun="incident", verb="ack", service=notices, many="POST /admin/v1/incidents/ack", settled="incident"),
        Act(
            noun="incident",
            verb="resolve",
            service=notices,
            many="POST /admin/v1/incidents/resolve",
            settled="incident",
        ),
        Act(
            noun="incident",
            verb="comment",
            service=notices,
            one="POST /admin/v1/incidents/{id}/comment",
            effect=effects.COMMENTED,
        ),
        Act(
            noun="incident",
            verb="recipe",
            service=notices,
            one="POST /admin/v1/incidents/{id}/recipes/{name}",
            place=Field("name", "string", required=True, rules={"enum": tuple(effects.RECIPES)}),
            version_at="/admin/v1/incidents/{id}",
            version_in="revision",
            effect=effects.RECIPE,
        ),
        Act(noun="ticket", verb="open", service=notices, one="POST /admin/v1/tickets", effect=effects.OPENED),
        Act(
            **of_ticket,
            verb="comment",
            one="POST /admin/v1/tickets/{key}/comments",
            effect=effects.OF_TICKETS["comment"],
        ),
        *(
            Act(**of_ticket, verb=verb, one=f"POST /admin/v1/tickets/{{key}}/{verb}", effect=effects.OF_TICKETS[verb])
            for verb in ("assign", "summon", "close", "link", "development-ticket")
        ),
        Act(**of_silence, verb="add", one="POST /admin/v1/silences", effect=effects.SILENCED),
        Act(**of_silence, verb="end", one="DELETE /admin/v1/silences/{id}", effect=effects.SILENCE_ENDED),
        Act(
            **of_duty,
            verb="override",
            one="POST /admin/v1/roster/overrides",
            version_at="/admin/v1/roster",
            version_in="revision",
            effect=effects.IN_THE_ROSTER,
        ),
        Act(**of_duty, verb="undo", one="DELETE /admin/v1/roster/overrides/{id}", effect=effects.TAKEN_BACK),
        Act(**of_duty, verb="confirm", one="POST /admin/v1/roster/handovers/confirm", effect=effects.CONFIRMED),
        Act(noun="flag", verb="set", service=orders, one="PUT /admin/v1/flags/{name}", key="name", effect=effects.FLAG),
        Act(noun="message", verb="test", service=notices, one="POST /admin/v1/test-message", effect=effects.MESSAGE),
        Act(
            noun="instruction",
            verb="set",
            service=notices,
            one="PUT /admin/v1/instructions/{kind}",
            key="kind",
            version_at="/admin/v1/instructions",
            effect=effects.INSTRUCTION,
        ),
        Act(
            noun="alert-sender",
            verb="give-up",
            service=notices,
            one="POST /admin/v1/alert-senders/{id}/give-up",
            effect=effects.GIVEN_UP,
        ),
        Act(**of_defect, verb="add", one="POST /admin/v1/known-defects", effect=effects.KNOWN),
        Act(**of_defect, verb="end", one="DELETE /admin/v1/known-defects/{id}", effect=effects.DEFECT_ENDED),
        Act(noun="check", verb="refunds", service=refunds, one="POST /admin/v1/reconciliation", effect=effects.VERDICT),
    )


ACTS = {act.name: act for act in _acts()}
"""By name. ``dead-letter replay|mend|dismiss`` and ``erase`` are in several services: see ``act_of``."""
BY_FILE = {
    f"{noun} set": Act(
        noun=noun,
        verb="set",
        service="notifier",
        one=f"PUT /admin/v1/{noun}",
        version_at=f"/admin/v1/{noun}",
        effect=effects.PUT[noun],
    )
    for noun in ("roster", "people")
}
"""Acts that put a whole file in the place of what holds, at a terminal only."""


def act_of(name: str, service: str | None = None) -> Act:
    """Return an act; of what several services do the one of this service. ``LookupError`` when there is none of this name."""
    if found := ACTS.get(name) or BY_FILE.get(name):
        return found
    noun, _, verb = name.partition(" ")
    if service is None:
        raise LookupError(f"{name}: name the service")
    if noun == "dead-letter" and verb in ("replay", "mend", "dismiss"):
        seen = of_letter(service, sent=verb != "dismiss")
        return Act(noun=noun, verb=verb, service=service, many=f"POST /admin/v1/dead-letters/{verb}", effect=seen)
    if name == "customer erase":
        return Act(noun=noun, verb=verb, service=service, one="POST /admin/v1/erasures", effect=of_erasure(service))
    raise LookupError(name)
