"""Scopes: what a token may be used for within its role. Each names a service, a group of its operations, and whether only to read.

``refunds:refunds`` is every operation that the refunds service's OpenAPI document tags so, ``refunds:refunds:read`` those of them that
only read, ``*:admin`` the group of every service that has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

GROUPS: Mapping[str, frozenset[str]] = {
    "webhook-gateway": frozenset({"admin", "endangered", "website"}),
    "orchestrator": frozenset({"admin", "orders", "refunds"}),
    "tips": frozenset({"admin", "tips"}),
    "refunds": frozenset({"admin", "refunds"}),
    "notifier": frozenset({"admin", "alerts"}),
}
"""The groups of operations that ask for a token, by service."""

_EVERY, _READ = "*", ":read"
_READING = frozenset({"GET", "HEAD"})


def scope_of(service: str, group: str, method: str) -> str:
    """Return the scope that an operation asks for."""
    return f"{service}:{group}{_READ if method in _READING else ''}"


def opened_by(scopes: Iterable[str]) -> frozenset[str]:
    """Return every scope that these give, those that they hold included. Raises ``ValueError``, which names one that there is not."""
    found: set[str] = set()
    for scope in scopes:
        service, _, group = scope.removesuffix(_READ).partition(":")
        named = {f"{each}:{group}" for each in GROUPS if service in (each, _EVERY) and group in GROUPS[each]}
        if not named:
            raise ValueError(f"there is no scope {scope[:80]!r}: it is service:group or service:group:read")
        found |= {each + _READ for each in named} | (set() if scope.endswith(_READ) else named)
    return frozenset(found)
