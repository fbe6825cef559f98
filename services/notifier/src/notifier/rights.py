"""The tables of the notifier, and what the account that serves may do with each."""

from __future__ import annotations

from common.postgres.rights import APPEND, CHANGE, EVERYTHING, PLATFORM, Rights

RIGHTS = Rights(
    {
        "alert_senders": EVERYTHING,
        "calls": EVERYTHING,
        "deliveries": CHANGE,
        "digests": EVERYTHING,
        "early_resolutions": EVERYTHING,
        "escalations": EVERYTHING,
        "handovers": EVERYTHING,
        "incident_history": CHANGE,
        "incidents": EVERYTHING,
        "instructions": EVERYTHING,
        "known_defects": CHANGE,
        "lanes": CHANGE,
        "notices": EVERYTHING,
        "people_directory": CHANGE,
        "post_parts": APPEND,
        "posts": EVERYTHING,
        "presses": EVERYTHING,
        "rate_windows": CHANGE,
        "recipe_requests": CHANGE,
        "refusals": EVERYTHING,
        "roster": CHANGE,
        "roster_overrides": EVERYTHING,
        "roster_revision": "SELECT, UPDATE",
        "silences": EVERYTHING,
        "table_size": EVERYTHING,
        "ticket_comments": CHANGE,
        "ticket_links": APPEND,
        "ticket_queues": CHANGE,
        "tickets": EVERYTHING,
        "unread_alerts": EVERYTHING,
        "watchdogs": CHANGE,
    }
)
TABLES = (*PLATFORM.measured, *RIGHTS.measured)
"""Tables whose size is measured: all."""
