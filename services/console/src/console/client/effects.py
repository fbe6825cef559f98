"""Effects that are seen at another thing than the one that was changed: the answer of the act names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from console.client.operations import filled
from console.client.things import ON_ITS_WAY, THINGS, value

if TYPE_CHECKING:
    from console.client.suite import Suite


_LONGEST_LIST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Where an effect is seen.

    ``path``: what is read, filled with ``places`` (of each the dotted path into the answer). ``of``: the list in it, of which the item
    counts whose first field of ``match`` is what the answer says at the second; without ``match`` the first. ``state``: where its state
    stands; ``words``: fields that, once filled, are its state by another word. ``only``: what the answer has to say for it to be so.
    """

    service: str
    path: str
    places: Mapping[str, str]
    of: str | None = None
    match: tuple[str, str] | None = None
    state: str
    words: Mapping[str, str] = field(default_factory=dict)
    only: Mapping[str, str] = field(default_factory=dict)
    moving: frozenset[str] = frozenset()
    bad: frozenset[str] = frozenset()

    def moves(self, state: str) -> bool:
        """Tell whether something is still to happen by itself."""
        return state == ON_ITS_WAY or state in self.moving

    def named_in(self, answer: Mapping[str, Any]) -> bool:
        """Tell whether an answer names where its effect is seen."""
        return all(value(answer, where) for where in self.places.values()) and all(
            value(answer, where) == said for where, said in self.only.items()
        )

    async def look(self, suite: Suite, answer: Mapping[str, Any]) -> str:
        """Return the state of what an answer names, ``ON_ITS_WAY`` while it is not there. Raises what the service raises else."""
        from console.client.suite import RefusedError

        try:
            found: Mapping[str, Any]
            places = {name: value(answer, where) for name, where in self.places.items()}
            query = {name: held for name, held in places.items() if f"{{{name}}}" not in self.path}
            path = filled(self.path, **places)
            if query:
                items = suite.walk(self.service, path, at_most=_LONGEST_LIST, **query)
                found = await anext((item async for item in items if self._is_it(item, answer)), {})
            else:
                said = await suite.get(self.service, path)
                of = [said] if self.of is None else said[self.of]
                found = next((item for item in of if self._is_it(item, answer)), {})
        except RefusedError as error:
            if error.status == 404:
                return ON_ITS_WAY
            raise
        for name, word in self.words.items():
            if found.get(name) is not None:
                return word
        return str(value(found, self.state) or ON_ITS_WAY)

    def _is_it(self, item: Mapping[str, Any], answer: Mapping[str, Any]) -> bool:
        return self.match is None or value(item, self.match[0]) == value(answer, self.match[1])


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
APPENDED = Effect(
    service="orchestrator",
    path="/admin/v1/workflow-events",
    places={"workflow_id": "appended.workflow_id"},
    of="items",
    match=("id", "appended.id"),
    state="state_name",
    moving=frozenset({"new"}),
    bad=frozenset({"failed"}),
)
"""The event that goes again in the place of another."""
ARRIVED = Effect(
    service="orchestrator",
    path="/orders/v1/orders/{number}",
    places={"number": "number"},
    state="status",
    only={"event": "order.created"},
)
"""The order that a hook makes. Of a hook about an order that there is already the answer is all that can be seen."""
RECIPE = Effect(
    service="notifier",
    path="/admin/v1/incidents/{id}",
    places={"id": "id"},
    of="recipes",
    match=("name", "name"),
    state="last.state",
    moving=frozenset({"asked", "confirmed", "running"}),
    bad=frozenset({"failed"}),
)
"""What became of the recipe of an incident."""
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
