"""What the lines of an order's timeline say, in the language of who reads them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.client.sentences import sentences
from console.client.words import label, words


def is_line(item: Mapping[str, Any]) -> bool:
    """Tell whether a thing is a line of a timeline."""
    return isinstance(item.get("details"), Mapping) and {"service", "kind", "actor", "summary"} <= item.keys()


def told(line: Mapping[str, Any], *, language: str) -> str:
    """Return what a line says: made of its kind and details where they say it all, else the English that its service wrote.

    What a person gave as a reason stays as it is, and so does a line of another release that no catalogue knows.
    """
    kind, details, summary = str(line["kind"]), line["details"], str(line["summary"])
    translate, say = words(language).gettext, sentences(language)
    family = kind.partition(".")[0]

    def named(key: str) -> str:
        return translate(label(str(details[key])))

    def because(key: str) -> str:
        return f": {say(str(details[key]))}" if details.get(key) else ""

    if "role" in details:  # of the audit: its summary is the reason
        return summary
    if family == "chat_message" and {"kind", "destination", "channel"} <= details.keys():
        return f"{named('kind')} → {details['destination']} ({details['channel']}){because('why')}"
    if kind == "hook.received" and {"event", "outcome"} <= details.keys():
        return f"{details['event']}: {named('outcome')}"
    if family == "refund" and "refund_id" in details and ("detail" in details or "(" not in summary):
        state = translate(label(kind.partition(".")[2]))
        return f"{translate('refund')} {details['refund_id']}: {state}{because('detail')}"
    return say(summary)
