"""Where the effect of an act is seen when it is not the state of the thing itself: the answer of the act names it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from console.client.operations import filled
from console.client.things import ON_ITS_WAY, THINGS, value

if TYPE_CHECKING:
    from console.client.suite import Suite


_LONGEST_LIST = 10_000
_REASON = "is anything left: rehearsed, nothing is changed"
Found = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Where an effect is seen. What is ``said`` of an act is its answer, what was filled in, and as ``thing`` what it was done to.

    ``path``: what is read, filled with ``places`` (of each the dotted path into what is said); places without a room in it are asked for.
    ``of``: the list in the answer (``pages``: which comes in pages), of which the item counts that has what ``fixed`` says, and of whose
    fields in ``match`` one is, or holds, what is said at the last of them; ``over``: and whose first field is greater than what is said at
    the second. Without ``of`` the answer is the item. ``ours``: a version or time that the act itself gave the item, as field of both: an
    item that has not come so far shows what was there before the act, whoever did the like; one that is further is ``outdone``.
    ``words``: fields that, once filled, are its state by another word; ``state``: where its state stands; ``seen``: what it is when it is
    there, ``gone``: when it is not. ``again``: the path is rehearsed once more, for whichever place is said, and this field of the answer
    counts what is left. ``onward``: what was only asked for is followed once it is ``seen``, to the kind of thing that belongs to what is
    said as ``name``, and to the one that is said as ``target``: its state is seen then, in ``anew`` by another word.
    """

    service: str
    path: str
    places: Mapping[str, str] = field(default_factory=dict)
    of: str | None = None
    pages: bool = False
    fixed: Mapping[str, str] = field(default_factory=dict)
    match: tuple[str, ...] = ()
    over: tuple[str, str] | None = None
    ours: tuple[str, str] | None = None
    outdone: str | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    state: str | None = None
    seen: str | None = None
    gone: str | None = None
    again: str | None = None
    onward: Mapping[str, str] = field(default_factory=dict)
    anew: Mapping[str, str] = field(default_factory=dict)
    moving: frozenset[str] = frozenset()
    bad: frozenset[str] = frozenset()

    def moves(self, state: str) -> bool:
        """Tell whether something is still to happen by itself."""
        return state == ON_ITS_WAY or state in self.moving

    def named_in(self, said: Found) -> bool:
        """Tell whether it is said where the effect is seen."""
        named = [bool(value(said, where)) for where in self.places.values()]
        named += [value(said, each[1]) is not None for each in (self.over, self.ours) if each is not None]
        return any(named) if self.again else all(named)

    async def look(self, suite: Suite, said: Found) -> str:
        """Return the state of what is named, ``ON_ITS_WAY`` while it is not there. Raises what the service raises else."""
        from console.client.suite import RefusedError

        try:
            if self.again is not None:
                return await self._rehearsed(suite, said, self.again)
            found = await self._find(suite, said)
        except RefusedError as error:
            if error.status == 404:
                return ON_ITS_WAY
            raise
        if found is None:
            return self.gone or ON_ITS_WAY
        if self.ours is not None:
            there, own = _rank(value(found, self.ours[0])), _rank(value(said, self.ours[1]))
            if there < own:
                return ON_ITS_WAY
            if there > own and self.outdone is not None:
                return self.outdone
        word = next((word for name, word in self.words.items() if value(found, name)), None)
        state = str(word or value(found, self.state) or self.seen or ON_ITS_WAY)
        thing = THINGS.get(self.onward.get(str(said.get("name")), "")) if state == self.seen else None
        if thing is None:
            return state
        there = thing.state_now(await thing.read(suite, str(said["target"])))
        return self.anew.get(there, there)

    async def _find(self, suite: Suite, said: Found) -> Found | None:
        places = {name: value(said, where) for name, where in self.places.items()}
        path = filled(self.path, **places)
        query = {name: held for name, held in places.items() if f"{{{name}}}" not in self.path}
        if self.pages:
            return await self._walk(suite, path, query, said)
        answer = await suite.get(self.service, path, **query)
        listed: Iterable[Found] = [answer] if self.of is None else answer[self.of]
        return next((item for item in listed if self._is_it(item, said)), None)

    async def _walk(self, suite: Suite, path: str, query: Found, said: Found) -> Found | None:
        """Return the item; what is in no page that was read may be in a later one, so it is not taken for gone."""
        seen = 0
        async for item in suite.walk(self.service, path, at_most=_LONGEST_LIST, **query):
            if self._is_it(item, said):
                return item
            seen += 1
        return {self.state or "state": ON_ITS_WAY} if seen == _LONGEST_LIST else None

    def _is_it(self, item: Found, said: Found) -> bool:
        if any(value(item, where) != wanted for where, wanted in self.fixed.items()):
            return False
        if self.over is not None and not value(item, self.over[0]) > value(said, self.over[1]):
            return False
        if not self.match:
            return True
        *fields, where = self.match
        wanted = str(value(said, where))
        held = [value(item, name) for name in fields]
        return any(wanted in each if isinstance(each, list) else str(each) == wanted for each in held)

    async def _rehearsed(self, suite: Suite, said: Found, count: str) -> str:
        body = {name: said[where] for name, where in self.places.items() if said.get(where) is not None}
        left = await suite.send(self.service, "POST", self.path, {**body, "reason": _REASON, "dry_run": True})
        return str("left" if left[count] else self.seen)


def _rank(held: Any) -> Any:
    """Return a version, or a time of whatever precision, as what can be compared."""
    return datetime.fromisoformat(held) if isinstance(held, str) else held


def said_of(thing: str, answer: Found, filled_in: Found, *, reason: str) -> Found:
    """Return what is said of an act on a thing: ``part_of`` is an event's workflow, ``scrubbed`` the reason as chats have it."""
    from common.telemetry import scrub_text

    own = {"thing": thing, "part_of": thing.partition("-")[0], "reason": reason, "scrubbed": scrub_text(reason)}
    return {**filled_in, **answer, **own}


_EVENTS: dict[str, Any] = {
    "service": "orchestrator",
    "path": "/admin/v1/workflow-events",
    "pages": True,
    "state": "state_name",
    "moving": frozenset({"new"}),
    "bad": frozenset({"failed"}),
}
APPENDED = Effect(**_EVENTS, places={"workflow_id": "appended.workflow_id"}, match=("id", "appended.id"))
"""The event that goes again in the place of another."""
DECIDED = Effect(**_EVENTS, places={"workflow_id": "part_of"}, match=("id", "thing"))
"""The event itself."""
CARRIED_OUT = Effect(**_EVENTS, places={"order_number": "number"}, match=("attributes.delivery_id", "delivery_id"))
"""The event that a delivery is to its order: from the broker to its effect."""
REFUND = Effect(
    service="orchestrator",
    path="/admin/v1/orders/{number}/refunds",
    places={"number": "number"},
    of="items",
    match=("business_key", "business_key"),
    state="state",
    words={"rejected": "rejected"},
    moving=THINGS["refund"].moving,
    bad=THINGS["refund"].bad | {"rejected"},
)
"""The refund that an order's refund became."""
ISSUED = Effect(
    service="orchestrator",
    path="/admin/v1/orders/{number}/document/versions",
    places={"number": "number"},
    pages=True,
    over=("version", "replaces"),
    match=("reason", "reason"),
    seen="issued",
)
"""A later version of the document, for this very reason."""
NOT_PARKED = Effect(
    service="orchestrator",
    path="/admin/v1/parked-orders",
    places={"order_number": "thing"},
    pages=True,
    match=("order_number", "thing"),
    gone="given_up",
)
FLAG = Effect(
    service="orchestrator",
    path="/admin/v1/flags/{thing}",
    places={"thing": "thing"},
    ours=("version", "version"),
    outdone="changed_again",
    words={"enabled": "switched_on"},
    seen="switched_off",
    bad=frozenset({"changed_again"}),
)
"""The switch at the version that the act made, with its share; or somebody has set it otherwise since."""
SETTLED = Effect(
    service="refunds",
    path="/admin/v1/differences/{thing}",
    places={"thing": "thing"},
    words={"adopted_as": "adopted", "acknowledged_by": "acknowledged"},
)
VERDICT = Effect(
    service="refunds",
    path="/admin/v1/verdicts",
    of="items",
    fixed={"name": "refunds"},
    ours=("at", "at"),
    words={"found": "differs"},
    seen="holds",
    bad=frozenset({"differs"}),
)
"""The verdict that the reconciliation keeps, or a later one."""
DISMISSED = Effect(
    service="webhook-gateway", path="/admin/v1/deliveries/{thing}", places={"thing": "thing"}, state="decision"
)
CALLED = Effect(
    service="webhook-gateway",
    path="/admin/v1/endangered-orders/{thing}",
    places={"thing": "thing"},
    match=("reached", "reached"),
    words={"called_at": "called"},
)
LIFTED = Effect(service="webhook-gateway", path="/admin/v1/order-limits", pages=True, match=("id", "id"), gone="lifted")
RECIPES = {"retry_workflow": "workflow", "restart_refund": "refund"}
"""The recipes that incidents may offer, each with the kind of thing that it is done to."""
RECIPE = Effect(
    service="notifier",
    path="/admin/v1/incidents/{id}",
    places={"id": "id"},
    of="recipes",
    match=("name", "name"),
    state="last.state",
    seen="done",
    onward=RECIPES,
    anew={"crashed": "crashed_again", "ERROR": "failed_again"},
    moving=frozenset({"asked", "confirmed"}).union(*(THINGS[noun].moving for noun in RECIPES.values())),
    bad=frozenset({"failed", "crashed_again", "failed_again", "stopped"}),
)
"""What became of the recipe of an incident, and once its service has taken it, of the workflow or the refund."""
MESSAGE = Effect(
    service="notifier",
    path="/admin/v1/notifications/{notice_id}",
    places={"notice_id": "notice_id"},
    of="deliveries",
    state="state",
    moving=frozenset({"pending", "sending"}),
    bad=frozenset({"failed", "unknown", "dropped", "not_told"}),
)
"""The one copy of a test message."""
COMMENTED = Effect(
    service="notifier",
    path="/admin/v1/incidents/{thing}",
    places={"thing": "thing"},
    of="history",
    fixed={"act": "comment"},
    match=("text", "scrubbed"),
    seen="commented",
)
"""This very comment in the incident's history, whatever others have said meanwhile."""
OPENED = Effect(service="notifier", path="/admin/v1/tickets/{id}", places={"id": "id"}, words={"key": "opened"})
"""The ticket, once the tracker has given it a key."""


def _of_ticket(**seen: Any) -> Effect:
    """Return what is seen of the ticket that an act is done to."""
    return Effect(service="notifier", path="/admin/v1/tickets/{thing}", places={"thing": "thing"}, **seen)


def _listed(path: str, *match: str, **seen: Any) -> Effect:
    """Return what is seen of something that stands in a list of the notifier, or does so no more."""
    return Effect(service="notifier", path=f"/admin/v1/{path}", match=match, **seen)


OF_TICKETS = {
    "comment": _of_ticket(of="comments", match=("id", "id"), seen="commented"),
    "assign": _of_ticket(match=("assignee", "after"), seen="assigned"),
    "summon": _of_ticket(match=("summons_id", "incident_id"), seen="summoned"),
    "close": _of_ticket(state="state"),
    "link": _of_ticket(match=("links", "development_ticket", "linked"), seen="linked"),
    "development-ticket": _of_ticket(words={"development_ticket": "linked"}),
}
"""By the verb of what is done to a ticket."""
SILENCED = _listed("silences", "id", "id", pages=True, seen="silenced")
SILENCE_ENDED = _listed("silences", "id", "thing", pages=True, gone="ended")
IN_THE_ROSTER = _listed("roster", "id", "id", of="overrides", seen="in_the_roster")
TAKEN_BACK = _listed("roster", "id", "thing", of="overrides", gone="taken_back")
PUT = {
    noun: Effect(
        service="notifier",
        path=f"/admin/v1/{noun}",
        ours=("version", "version"),
        outdone="put_again",
        seen="in_force",
        bad=frozenset({"put_again"}),
    )
    for noun in ("roster", "people")
}
"""The plan of duty, or the people, at the version that the act made; or somebody has put others since."""
CONFIRMED = _listed("on-call", "on_duty.id", "person", words={"confirmed": "confirmed"})
INSTRUCTION = _listed("instructions", "kind", "thing", of="items", seen="in_force", gone="removed")
GIVEN_UP = _listed("alert-senders", "id", "thing", pages=True, gone="given_up")
KNOWN = _listed("known-defects", "id", "defect.id", pages=True, seen="known")
DEFECT_ENDED = _listed("known-defects", "id", "thing", pages=True, gone="ended")


def of_letter(service: str, *, sent: bool) -> Effect:
    """Return what is seen of a dead letter: its state, and where its message was ``sent`` again what became of that."""
    return Effect(
        service=service,
        path="/admin/v1/dead-letters/{thing}",
        places={"thing": "thing"},
        state="became" if sent else "state",
        moving=frozenset({ON_ITS_WAY}),
        bad=frozenset({"dead_again"}),
    )


def of_erasure(service: str) -> Effect:
    """Return what is seen of an erasure: rehearsed once more, it finds nothing left."""
    whom = {name: name for name in ("order_number", "phone", "email")}
    return Effect(
        service=service, path="/admin/v1/erasures", places=whom, again="places", seen="erased", bad=frozenset({"left"})
    )
