"""What nginx writes of a request that no gateway answered: read, and judged."""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from common.reading.values import storable

REPLICA = "edge"
"""Stands for nginx where the ledger names a replica."""

STATUSES = ("400", "404", "405", "408", "413", "414", "499", "502", "503", "504")
"""What nginx ends requests with; the label of any other is ``other``."""

Address = Literal["hook", "website", "webhook", "other"]

TOLD = frozenset({400, 408, 413, 414, 431, 499})
"""With these nginx refuses what somebody sent: too large, too slow, unreadable, broken off. A server that is away is told otherwise."""

_BEGINNING = b'{"at":'
_HOOK = re.compile(r"/+hooks/+v1/+([a-z0-9][a-z0-9_-]{0,62})/*")
_SBERMARKET = re.compile(r"/+sbermarket/+orders/+hook/*")
_WEBHOOK = re.compile(
    r"/+(?:alerts/+v1/+(alertmanager|sentry)|(telegram)/+webhook|(slack)/+interactions|notifications/+v1/+([a-z0-9_-]{1,63}))/*"
)
_WEBSITE = re.compile(r"/+api(/.*)?|(?i:.*/orders?/*)")
_CONTROL = re.compile(r"[^\x20-\x7e]")
_LONGEST = 200
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRequest:
    """A request that ended at nginx. Its body never got further, so there is none. ``id`` is of this one request and never repeats;
    ``request_id`` may be its caller's, ``edge_id`` is what nginx called it towards the gateways."""

    id: str
    at: datetime
    request_id: str
    method: str
    path: str
    status: int
    upstream_status: str
    client: str
    size: int
    idempotency_key: str | None

    @property
    def edge_id(self) -> str:
        """nginx's own name of the request, the same for each replica that it asked."""
        return self.id.partition("-")[0]

    @property
    def address(self) -> Address:
        """What it was sent to, as far as its path tells."""
        if self.source is not None:
            return "hook"
        if self.sender is not None:
            return "webhook"
        return "website" if _WEBSITE.fullmatch(self.path) else "other"

    @property
    def source(self) -> str | None:
        """The marketplace that its path names."""
        if _SBERMARKET.fullmatch(self.path):
            return "sbermarket"
        found = _HOOK.fullmatch(self.path)
        return found[1] if found else None

    @property
    def sender(self) -> str | None:
        """Who else calls there: Alertmanager, Sentry, a chat, a provider of calls, a payment system."""
        found = _WEBHOOK.fullmatch(self.path)
        return None if found is None else next(filter(None, found.groups()))

    @property
    def is_order(self) -> bool:
        """Whether a website's order may have been in it."""
        return self.address == "website" and self.method in _WITH_BODY

    @property
    def delivery_id(self) -> str:
        """The id of its record: the same however often the line is read."""
        return str(uuid.UUID(hashlib.blake2b(self.id.encode(), digest_size=16, person=b"edge-request").hexdigest()))


def read_line(line: bytes) -> EdgeRequest | None:
    """Read one line; None when it is none of ours. Of two that were glued together by a full disk the last one counts."""
    try:
        # nginx writes bytes of a header or an address as they came, also those that are no UTF-8.
        found: Any = orjson.loads(line[max(0, line.rfind(_BEGINNING)) :].decode("utf-8", "replace"))
        return EdgeRequest(
            id=storable(str(found["id"])),
            at=datetime.fromtimestamp(float(found["at"]), UTC),
            request_id=_clean(found["request_id"]),
            method=_clean(found["method"]),
            path=_clean(found["path"]),
            status=int(found["status"]),
            upstream_status=_clean(found["upstream_status"]),
            client=_clean(found["client"]),
            size=int(found["size"] or 0),
            idempotency_key=storable(str(found["idempotency_key"])[:255]) or None,
        )
    except (ValueError, TypeError, KeyError, OverflowError, OSError):
        return None


def _clean(value: object) -> str:
    return _CONTROL.sub("?", str(value)[:_LONGEST])
