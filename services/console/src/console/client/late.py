"""Why a copy of a message went later than what it tells, as both tools say it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import Any

from console.client.sentences import sentences
from console.client.times import as_time, lasting, lasting_in, moment
from console.client.words import label

_SOON_S = 5.0
_EARLIER = "earlier_notice"
LIMITS = ("chat_limit", "asked_to_wait", _EARLIER)


def _(text: str) -> str:
    """Mark a text for the catalogue."""
    return text


_AFTER, _SINCE = _("%(time)s after what it tells"), _("%(time)s after the hook had come")
_ACTED = _("%(time)s after a person had entered it: %(act)s")
_TRIED = _("tried at %(failed)s, sent at %(sent)s")


def late(copy: Mapping[str, Any], *, language: str, zone: tzinfo, translate: Callable[[str], str]) -> str | None:
    """Return how much later it was sent, where the time went, and what held it, with the times of the attempt and of the end; None where
    it went at once. What failed first, or waited for one that did, says so however soon it went.
    """
    sent, came = as_time(copy.get("sent_at")), as_time(copy.get("received_at"))
    due = came or as_time(copy.get("occurred_at"))
    if sent is None or due is None or sent < due:
        return None
    passed, held, tried = (sent - due).total_seconds(), copy.get("held_by"), as_time(copy.get("failed_at"))
    if passed < _SOON_S and tried is None and held != _EARLIER:
        return None
    entered = came is not None and copy.get("came_by") == "act"
    said = translate(_ACTED if entered else _SINCE if came else _AFTER) % {
        "time": lasting(passed, language=language),
        "act": translate(label(str(copy.get("kind")))),
    }
    if waited := copy.get("waited"):
        said += f" ({lasting_in(sentences(language)(waited), language=language)})"
    if not held:
        return said
    if held in LIMITS:
        return f"{said}: {translate(label(held))}"
    said = f"{said}: {sentences(language)(held)}"
    if tried is None:
        return said
    failed, ended = (moment(at, language=language, zone=zone) for at in (tried, sent))
    return f"{said} ({translate(_TRIED) % {'failed': failed, 'sent': ended}})"
