"""What a page carries of a plan and of what was done: enough to apply it and to watch it; of many things not what is only shown once.

A thousand crashed workflows with their stacks would be more than a form may hold.
"""

from __future__ import annotations

import json
from dataclasses import replace

from console.client.change import Done, Item, Plan
from console.client.effects import Effect
from console.client.suite import CHANGED_SINCE

_ROOM = 256 * 1024


def carried(kept: Plan | Done) -> str:
    """Return it as the text of a hidden field; ``Plan.from_json`` and ``Done.from_json`` read it."""
    whole = json.dumps(kept.to_json())
    if len(whole) <= _ROOM:
        return whole
    if isinstance(kept, Plan):
        return json.dumps(_light(kept).to_json())
    by_answer = isinstance(kept.plan.wish.found().sight, Effect)
    items = kept.items if by_answer else tuple(map(_bare, kept.items))
    return json.dumps(replace(kept, plan=_light(kept.plan), items=items).to_json())


def _light(plan: Plan) -> Plan:
    return replace(plan, items=tuple(map(_bare, plan.items)))


def _bare(item: Item) -> Item:
    """Who was first stays: it stands beside what was left alone, however often the page is asked for."""
    return item if item.outcome == CHANGED_SINCE else replace(item, shown={})
