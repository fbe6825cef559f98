"""Operations as the OpenAPI documents name them, and callers: whom each lets in, and what it answers everybody else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from common.http.auth import ROLES, satisfying

EVERYBODYS = {
    "GET /livez",
    "GET /readyz",
    "GET /metrics",
    "GET /on-call",
    "GET /on-call.ics",
    "POST /notifications/v1/{gateway}",
}
"""What needs no proof: probes, the mirror of who is on duty, and calls of which nothing is believed."""
ANY_PARAMETERS = EVERYBODYS | {
    "POST /alerts/v1/alertmanager",
    "POST /alerts/v1/sentry",
    "POST /api/v1/orders/",
    "POST /hooks/v1/{source}",
    "POST /sbermarket/orders/hook/",
    "POST /notifications/v1/twilio",
    "POST /slack/interactions",
    "POST /telegram/webhook",
}
"""Where a query parameter that nobody knows is no error: a system outside writes the address, and what it sends must not be lost."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, with which headers; ``role`` by a token that the service knows, for what ``scopes`` open (None: all of it);
    ``proof`` by the name of a security scheme.
    """

    name: str
    headers: Mapping[str, str]
    role: str | None = None
    proof: str | None = None
    scopes: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """A line of the document, who may call it with which scope, by which other proofs, and whether it may answer 503."""

    method: str
    path: str
    roles: frozenset[str]
    scope: str | None
    proofs: frozenset[str]
    unavailable: bool

    @property
    def line(self) -> str:
        """Its name."""
        return f"{self.method} {self.path}"

    def lets_in(self, caller: Caller) -> bool:
        """Whether this caller may, by the document."""
        if caller.role in self.roles:
            return self.scope is None or caller.scopes is None or self.scope in caller.scopes
        return self.line in EVERYBODYS or caller.proof in self.proofs

    def refuses_with(self, caller: Caller) -> tuple[int, str]:
        """What a caller who may not is answered. A hook without its source's proof is 403, whoever sends it."""
        if "Client-token" in self.proofs:
            return 403, "forbidden"
        if not (self.roles and caller.role):
            return 401, "unauthorized"
        return 403, "out_of_scope" if caller.role in self.roles else "forbidden"


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Every operation, with whom its document names."""
    for path, methods in document["paths"].items():
        for method, found in methods.items():
            asked = {name: scopes for each in found.get("security", ()) for name, scopes in each.items()}
            named = re.search(r"Role: ([\w ]+)\.$", found.get("description") or found.get("role", ""))
            roles = satisfying(named.group(1).split(" or ")) if named else ROLES
            yield Operation(
                method.upper(),
                path,
                roles if "bearer" in asked else frozenset(),
                next(iter(asked.get("bearer", ())), None),
                frozenset(asked.keys() - {"bearer"}),
                unavailable="503" in found["responses"],
            )
