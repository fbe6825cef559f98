"""Who has changed a thing since it was looked at: the audit of its service says so."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from console.client.suite import RefusedError, UnreachableError
from console.client.things import EVERYWHERE, THINGS

if TYPE_CHECKING:
    from console.client.acts import Act
    from console.client.suite import Suite

_AUDITED_AS = {
    "event": "workflow",
    "parked": "order",
    "intake": "delivery",
    "duty": "roster",  # also of each override: roster_override
    "limits": "order_limit",
}
"""What the audit calls what is called otherwise here."""
_LAST = 50
_NOT_OF_THE_THING = frozenset({"idempotency_key_reused"})


def has_changed(error: RefusedError) -> bool:
    """Tell why what a rehearsal has just done is refused now: a thing is not as it was, or there is none any more."""
    return error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT) and error.code not in _NOT_OF_THE_THING


async def last_change(suite: Suite, act: Act, name: str, *, since: str) -> Mapping[str, Any]:
    """Return who did what last, at or after a moment, to the thing of an act, or to any such thing where the act is done to none.

    ``changed_by`` is None where no person did: a hook came, or the suite went on by itself. Nothing at all where that cannot be read.
    """
    kind = _AUDITED_AS.get(act.noun, act.noun.replace("-", "_"))
    try:
        target = await _target(suite, act, kind, name) if name else None
        page = await suite.page(act.service, EVERYWHERE["audit"][0], target=target, limit=_LAST, **{"from": since})
    except (RefusedError, UnreachableError):
        return {}
    record = next((each for each in page.items if str(each["target"]).startswith(target or kind)), None)
    if record is None:
        return {"changed_by": None}
    return {"changed_by": record["actor"], "changed_at": record["at"], "change": record["action"]}


async def _target(suite: Suite, act: Act, kind: str, name: str) -> str:
    if act.noun == "ticket":
        name = str((await THINGS["ticket"].read(suite, name))["id"])
    elif act.noun == "event":
        name = name.partition("-")[0]
    elif act.noun == "duty":
        kind = "roster_override"
    return f"{kind}:{name}"
