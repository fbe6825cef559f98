"""What the objects consist of that people fill in part by part, where the service takes any object. Light, for commands are made of it."""

from __future__ import annotations

from collections.abc import Mapping

PARTS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("order correct", "customer"): ("name", "phone", "email"),
    ("order correct", "address"): (
        *("postcode", "region", "city", "street", "house", "building"),
        *("entrance", "floor", "flat", "intercom", "comment"),
    ),
}
"""By act and field."""
