"""The screens, in the order of the menu, and the lists behind them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Screen:
    """A place of the menu. ``noun``: whose list it is; None for a screen of its own."""

    title: str
    path: str
    noun: str | None = None


NAVIGATION = (
    Screen("Now", "/"),
    Screen("Find", "/find"),
    Screen("Orders", "/orders", "order"),
    Screen("Incidents", "/incidents", "incident"),
    Screen("Workflows", "/workflows", "workflow"),
    Screen("Intake", "/intake", "intake"),
    Screen("Endangered", "/endangered", "endangered"),
    Screen("Refunds", "/refunds", "refund"),
    Screen("Duty", "/duty"),
    Screen("Tips", "/tips"),
    Screen("Messages", "/messages", "message"),
    Screen("Audit", "/audit"),
    Screen("Nothing lost", "/proof"),
    Screen("More", "/more"),
)
TITLES = {
    "order": "Orders",
    "workflow": "Workflows",
    "event": "Workflow events",
    "parked": "Orders that nobody created",
    "stock-movement": "Stock movements",
    "refund": "Refunds",
    "payment": "Payments",
    "difference": "Differences with payment systems",
    "intake": "Intake",
    "countdown": "Countdowns",
    "unarrived": "Orders that did not arrive",
    "limit": "Who may not order now",
    "endangered": "Endangered orders",
    "incident": "Incidents",
    "ticket": "Tickets",
    "message": "Messages",
    "silence": "Silences",
    "unread-alert": "Alerts that were not read",
    "alert-sender": "From whom alerts come",
    "known-defect": "Known defects",
    "flag": "Switches",
    "duty": "Overrides of the roster",
    "dead-letter": "Dead letters",
    "audit": "Audit",
}
"""What the list of a kind of thing is called."""
LISTS = {screen.noun: screen.path for screen in NAVIGATION if screen.noun}
"""Lists with an address of their own; any other is ``/list/{noun}``."""


def list_path(noun: str) -> str:
    """Return where the list of a kind of thing is."""
    return LISTS.get(noun, "/audit" if noun == "audit" else f"/list/{noun}")
