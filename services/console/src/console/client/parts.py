"""What the objects consist of that people fill in part by part, where the service takes any object. Light, for commands are made of it."""

from __future__ import annotations

from collections.abc import Mapping

from common.reading.model import MINOR_PARTS

TRAITS = ("alert", "kind", "service", "severity", "source", "store_id", "order_number", "fingerprint")
"""What a silence or a known defect is recognised by."""
PARTS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("order correct", "customer"): ("name", "phone", "email"),
    ("order correct", "address"): (
        *("postcode", "country", "region", "city", "street", "house", "building"),
        *("entrance", "floor", "flat", "intercom", "comment"),
    ),
    ("silence add", "match"): TRAITS,
    ("known-defect add", "match"): TRAITS,
}
"""By act and field."""
LISTED = frozenset({("silence add", "match"), ("known-defect add", "match")})
"""Of which each part holds several values, with commas between."""


def address_said(known: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the parts to send for an address of ``known`` parts to be one of ``wanted`` parts, and nothing of it to be lost.

    The service takes parts that make another place for the whole address, and those that say more of the same place as an addition.
    """
    changed = {name: text for name, text in wanted.items() if known.get(name) != text}
    addition = changed and changed.keys() <= set(MINOR_PARTS) and known.keys() <= wanted.keys()
    return changed if addition else dict(wanted)
