"""Who is notified: a table of routes from what an event is to destinations. All matching routes count; nobody is notified twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A place that notices go to. ``address`` is a chat id, a channel or a mail address; ``topic`` a Telegram forum thread.

    ``fallback`` names the destination that is notified of problems when this one cannot be. ``invented``: it stands in an example, and
    nobody reads it.
    """

    name: str
    channel: str
    address: str
    topic: int | None = None
    fallback: str | None = None
    invented: bool = False

    @property
    def chat(self) -> str:
        """The key of the chat's queue (column ``lane``): one sending at a time. Topics of a chat share it, as they share its limits."""
        return f"{self.channel}:{self.address}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What routes, silences and inhibitions look at. ``alert`` is an alert's own name at Alertmanager.

    ``named_service`` is the service where the sender named it, and it is no guess.
    """

    environment: str
    kind: str
    severity: str = "info"
    source: str | None = None
    store_id: str | None = None
    zone: str | None = None
    service: str | None = None
    named_service: str | None = None
    alert: str | None = None
    order_number: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """``match``: trait → patterns (``order.*``; ``!production`` excludes). ``to``: destinations, ``@role`` is the store's own."""

    name: str
    match: Mapping[str, tuple[str, ...]]
    to: tuple[str, ...]

    def matches(self, labels: Labels) -> bool:
        """Whether every named trait has a value that fits its patterns."""
        return fits(self.match, labels)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A destination and the route that chose it first."""

    destination: Destination
    route: str


@dataclass(slots=True, kw_only=True)
class Routes:
    """The whole table, as things stand now.

    ``stores``: store id → role → destination's name; ``default_store`` serves the roles a store does not name.
    """

    destinations: Mapping[str, Destination]
    routes: tuple[Route, ...]
    stores: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    default_store: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a table that names what it does not have: ``ValueError`` with one line that says where."""
        roles = set(self.default_store).union(*(set(store) for store in self.stores.values()))
        for route in self.routes:
            for target in route.to:
                known = target[1:] in roles if target.startswith("@") else target in self.destinations
                if not known:
                    raise ValueError(f"route {route.name!r} goes to {target!r}, which is not defined")
        for owner, store in {**self.stores, "default": self.default_store}.items():
            for role, name in store.items():
                if name not in self.destinations:
                    raise ValueError(f"store {owner!r} has {role} {name!r}, which is not a destination")
        for name in self.destinations:
            self.fallbacks(name)

    def take_over(self, other: Routes) -> None:
        """Become what another table is, all of it at once, for everybody who holds this one."""
        self.destinations, self.routes = other.destinations, other.routes
        self.stores, self.default_store = other.stores, other.default_store

    def fallbacks(self, name: str) -> tuple[Destination, ...]:
        """Return who is notified of problems instead of a destination, in order. Raises ``ValueError`` for a circle or an unknown name."""
        chain: list[Destination] = []
        seen = {name}
        following = self.destinations[name].fallback
        while following is not None:
            if following not in self.destinations:
                raise ValueError(f"destination {name!r} falls back to {following!r}, which is not defined")
            if following in seen:
                raise ValueError(f"destination {name!r} falls back to itself")
            seen.add(following)
            chain.append(self.destinations[following])
            following = chain[-1].fallback
        return tuple(chain)

    def choose(self, labels: Labels) -> tuple[Chosen, ...]:
        """Return the destinations for an event, each once, in the order of the table. Empty: no route matches."""
        chosen: dict[tuple[str, int | None], Chosen] = {}  # by place: two names of one chat are one
        for route in self.routes:
            if route.matches(labels):
                for target in route.to:
                    name = self._resolve(target, labels.store_id)
                    if name is None:
                        continue
                    destination = self.destinations[name]
                    chosen.setdefault((destination.chat, destination.topic), Chosen(destination, route.name))
        return tuple(chosen.values())

    def _resolve(self, target: str, store_id: str | None) -> str | None:
        if not target.startswith("@"):
            return target
        role = target[1:]
        own = self.stores.get(store_id, {}) if store_id is not None else {}
        return own.get(role) or self.default_store.get(role)


def literal(value: str) -> str:
    """Return the pattern that fits this value and, at most, values that differ from it in signs of patterns."""
    return "".join("?" if sign in "*?[]" or (sign == "!" and index == 0) else sign for index, sign in enumerate(value))


def fits(match: Mapping[str, tuple[str, ...]], labels: Labels) -> bool:
    """Whether every named trait has a value that fits one of its patterns."""
    return all(_fits(getattr(labels, label), patterns) for label, patterns in match.items())


def _fits(value: str | None, patterns: tuple[str, ...]) -> bool:
    text = value or ""
    if any(pattern.startswith("!") and fnmatchcase(text, pattern[1:]) for pattern in patterns):
        return False
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    return not wanted or any(fnmatchcase(text, pattern) for pattern in wanted)


def labels_of(row: Any) -> Labels:
    """Read an incident's row as routes see it."""
    return Labels(
        environment=row["environment"],
        kind=row["kind"],
        severity=row["severity"],
        source=row["source"],
        store_id=row["store_id"],
        zone=row["zone"],
        service=row["service"],
        named_service=row["named_service"],
        alert=row["details"].get("alert"),
        order_number=row["order_number"],
        fingerprint=row["fingerprint"],
    )


def labels_json(labels: Labels) -> dict[str, str]:
    """Return labels as they are stored: without what the release before does not know, for it reads these back, too."""
    return {name: value for name, value in asdict(labels).items() if value is not None and name != "named_service"}


def like(pattern: str) -> str:
    """Return a pattern of the routes file as SQL's LIKE has it, never narrower: what it finds is looked at again."""
    if pattern.startswith("!") or "[" in pattern:
        return "%"
    kept = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return kept.replace("*", "%").replace("?", "_")
