"""In which states a service refuses an act: one rule for lists, single pages and Now, so that no button leads to a certain refusal.

A state that is not named here is let through: the service decides. What the service itself says beforehand (``refusals``) goes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from console.client.things import EVERYWHERE, THINGS, value

_NOT_FAILED = frozenset({"new", "done", "skipped", "superseded", "mended"})
_NOT_IN_ERROR = frozenset(
    {
        *("CREATE", "SENDING", "PENDING", "SUCCESS", "UNKNOWN", "DECLINED"),
        *("REVERSED", "REJECTED", "CANCELLED", "CLOSED"),
    }
)
_DECIDED = frozenset({"replayed", "mended", "dismissed"})
REFUSED_IN: Mapping[str, frozenset[str]] = {
    "order cancel": frozenset({"cancelled"}),
    "order deliver": frozenset({"delivered", "cancelled"}),
    "order reissue": frozenset({"created", "cancelled"}),  # it has no document
    **{f"event {verb}": _NOT_FAILED for verb in ("skip", "mend")},
    "event reprocess": frozenset({"new", "failed", "skipped", "superseded", "mended"}),
    "refund restart": _NOT_IN_ERROR,
    "refund close": _NOT_IN_ERROR - {"CLOSED"},  # how it was closed may be put right
    **{f"incident {verb}": frozenset({"resolved"}) for verb in ("ack", "resolve", "recipe")},
    **{f"ticket {verb}": frozenset({"closed"}) for verb in ("assign", "summon", "close")},
    **{f"endangered {verb}": frozenset({"resubmitted", "closed"}) for verb in ("mend", "resubmit")},
    "endangered report": frozenset({"reported", "closed"}),
    **{f"endangered {verb}": frozenset({"closed"}) for verb in ("call", "close", "own-test")},
    "intake replay": frozenset({"refused"}),
    "intake dismiss": frozenset({"confirmed", "spooled", "refused"}),
    **{f"dead-letter {verb}": _DECIDED for verb in ("replay", "mend", "dismiss")},
}
"""By act, the states of its thing in which the service answers with a conflict whatever else is true of it."""
_ENDS = frozenset({"silence end", "duty undo"})
"""Acts on what ends at ``ends_at``."""
_SETTLED: Mapping[str, tuple[str, ...]] = {
    "known-defect end": ("ended_at",),
    **{f"difference {verb}": ("over_at", "acknowledged_at") for verb in ("adopt", "acknowledge")},
}
"""By act, the fields that are empty as long as the thing is not settled."""
_NO_PAYMENT = "no_payment"
_DECIDED_AS: Mapping[str, frozenset[str]] = {
    "intake replay": frozenset({"replayed", "dismissed"}),
    "intake dismiss": frozenset({"dismissed"}),
}
"""By act, what a person may have decided about a quarantined delivery so that the service refuses it."""


def unfit(act: str, item: Mapping[str, Any], *, now: datetime) -> str | None:
    """Return why the service will refuse an act (``event skip``) on a thing as it is, in its words or by the thing's state; None where
    it may do it."""
    noun, _, verb = act.partition(" ")
    said: Mapping[str, str] = item.get("refusals") or {}
    if verb in said:
        return said[verb]
    thing = THINGS.get(noun)
    state = value(item, thing.state) if thing is not None else item.get("state") if noun in EVERYWHERE else None
    if isinstance(state, str) and state in REFUSED_IN.get(act, frozenset()):
        return state
    if state == "quarantined" and (decided := item.get("decision")) in _DECIDED_AS.get(act, ()):
        return str(decided)
    if act == "order refund" and (item.get("payment") or {}).get("id", _NO_PAYMENT) is None:
        return _NO_PAYMENT
    settled = any(item.get(place) for place in _SETTLED.get(act, ()))
    return "over" if settled or (act in _ENDS and _has_come(item.get("ends_at"), now)) else None


def unfit_for_all(act: str, items: Sequence[Mapping[str, Any]], *, now: datetime) -> str | None:
    """Return why an act fits none of these things, None where it may fit one, or there is none."""
    reasons = [unfit(act, item, now=now) for item in items]
    return reasons[0] if reasons and all(reasons) else None


def _has_come(said: Any, now: datetime) -> bool:
    try:
        return datetime.fromisoformat(str(said)) <= now
    except (ValueError, TypeError):
        return False
