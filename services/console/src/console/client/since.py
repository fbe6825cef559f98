"""Who has changed a thing since it was looked at: the audit of its service says so."""

from __future__ import annotations

from collections.abc import Mapping
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
    "duty": "roster_override",
}
"""How the audit calls what is called otherwise here."""


async def last_change(suite: Suite, act: Act, name: str, *, since: str) -> Mapping[str, Any]:
    """Return who did what to the thing of an act last, at or after a moment.

    ``changed_by`` is None where no person did: a hook came, or the suite went on by itself. Nothing at all where that cannot be read.
    """
    try:
        target = await _target(suite, act, name)
        page = await suite.page(act.service, EVERYWHERE["audit"][0], target=target, limit=1, **{"from": since})
    except (RefusedError, UnreachableError):
        return {}
    if not page.items:
        return {"changed_by": None}
    record = page.items[0]
    return {"changed_by": record["actor"], "changed_at": record["at"], "change": record["action"]}


async def _target(suite: Suite, act: Act, name: str) -> str:
    if act.noun == "ticket":
        name = str((await THINGS["ticket"].read(suite, name))["id"])
    if act.noun == "event":
        name = name.partition("-")[0]
    return f"{_AUDITED_AS.get(act.noun, act.noun.replace('-', '_'))}:{name}"
