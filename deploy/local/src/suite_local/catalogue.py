"""The five services and the console as this machine runs them: names, packages, default ports, databases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Service:
    """One service. `database` is the name of its own database and None for tips, which works on the orders database."""

    name: str
    package: str
    port: int
    database: str | None

    @property
    def prefix(self) -> str:
        """The beginning of the service's environment variables."""
        return f"{self.package.upper()}_"

    @property
    def owner(self) -> str | None:
        """The database role that owns the service's own database and migrates it; None for tips, whose rights the orders' owner gives."""
        return None if self.database is None else self.package

    @property
    def role(self) -> str:
        """The database role that the service connects as: it owns nothing."""
        return self.package if self.database is None else f"{self.package}_runtime"

    def programs(self, replicas: int) -> list[str]:
        """Return the names under which the process manager runs the replicas, the first one plain."""
        return [self.name if number == 1 else f"{self.name}-{number}" for number in range(1, replicas + 1)]


GATEWAY = Service("webhook-gateway", "webhook_gateway", 8081, "webhook_gateway")
ORCHESTRATOR = Service("orchestrator", "orchestrator", 8082, "orders")
TIPS = Service("tips", "tips", 8083, None)
REFUNDS = Service("refunds", "refunds", 8084, "refunds")
NOTIFIER = Service("notifier", "notifier", 8085, "notifier")
SERVICES = (GATEWAY, ORCHESTRATOR, TIPS, REFUNDS, NOTIFIER)

CONSOLE = Service("console", "console", 8086, None)
WITH_CONSOLE = (*SERVICES, CONSOLE)
"""All that listen here: the services, and the console, which has neither a database nor tokens of its own."""

SANDBOX = "sandbox"
SANDBOX_PORT = 8090
SANDBOX_SMTP_PORT = 8025

ROLES = ("viewer", "operator", "admin", "internal")
"""Names and roles of the tokens that every service knows."""
PEOPLE = {"viewer": "vera", "operator": "oleg", "admin": "anna"}
"""The invented people whose tokens these are, by role; the other tokens are machines' own."""
GATEWAY_ROLES = ("website", "website_manager")
"""Further ones of the gateway: a website's own, and the one that orders without limit."""
CALLERS = {"orchestrator_token": "internal", "refunds_token": "internal", "shadow_token": "viewer"}
"""Tokens that services of the suite call others with, by the name of the secret: nobody else is given them. The others call nobody."""

_OF_PEOPLE = ("*:admin", "webhook-gateway:endangered", "webhook-gateway:website", "orchestrator:orders:read")
_OF_WEBSITES = ("webhook-gateway:website",)
SCOPES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(PEOPLE, (*_OF_PEOPLE, "refunds:refunds")),
    # Whoever tries this suite out plays every system outside with it: the shop's own, Alertmanager, who asks for refunds.
    "internal": ("orchestrator:orders", "orchestrator:refunds:read", "tips:tips", "refunds:refunds", "notifier:alerts"),
    **dict.fromkeys(GATEWAY_ROLES, _OF_WEBSITES),
    "orchestrator_token": ("tips:tips",),
    "refunds_token": ("orchestrator:refunds:read",),
    "shadow_token": ("tips:admin:read",),
}
"""What each token may be used for within its role, by its secret's name."""
