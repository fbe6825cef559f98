"""The journal: everything the outside world received or sent, in order, as checks read it afterwards.

It is evidence for tests, held in memory and bounded. It is not the process log, which never carries a payload.
"""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

KEPT_HEADERS = (
    "content-type",
    "idempotence-key",
    "idempotency-key",
    "retry-after",
    "traceparent",
    "user-agent",
    "x-idempotency-key",
    "x-request-id",
)
"""Request headers a check may need. Credentials are never kept."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One call: what came in, what was answered, and which fault was played on it."""

    seq: int
    time: datetime
    operation: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    request: Any
    status: int | None
    answer: Any
    fault: str | None
    effect: bool

    def as_json(self) -> dict[str, Any]:
        """One entry as `/sandbox/<system>/log` shows it; `request` and `answer` kept as text are decoded where they are JSON."""
        return {
            "seq": self.seq,
            "time": self.time.isoformat(),
            "operation": self.operation,
            "method": self.method,
            "path": self.path,
            "query": dict(self.query),
            "headers": dict(self.headers),
            "traceparent": self.headers.get("traceparent"),
            "request": _decoded(self.request),
            "status": self.status,
            "answer": _decoded(self.answer),
            "fault": self.fault,
            "effect": self.effect,
        }


@dataclass(slots=True)
class Journal:
    """One system's entries: at most `limit`, oldest dropped first and counted. Sequence numbers are never reused."""

    limit: int
    dropped: int = 0
    _entries: deque[Entry] = field(default_factory=deque)
    _last_seq: int = 0

    def record(
        self,
        *,
        time: datetime,
        operation: str,
        method: str,
        path: str,
        request: Any,
        status: int | None,
        answer: Any,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        fault: str | None = None,
        effect: bool = True,
    ) -> Entry:
        """Append one call. `status` None means that no answer left; `effect` False that nothing was changed."""
        self._last_seq += 1
        entry = Entry(
            seq=self._last_seq,
            time=time,
            operation=operation,
            method=method,
            path=path,
            query=query or {},
            headers=headers or {},
            request=request,
            status=status,
            answer=answer,
            fault=fault,
            effect=effect,
        )
        self._entries.append(entry)
        while len(self._entries) > self.limit:
            self._entries.popleft()
            self.dropped += 1
        return entry

    def page(self, *, after: int = 0, limit: int | None = None) -> dict[str, Any]:
        """Entries with `seq` above `after`, oldest first; `next_cursor` is the next `after`, or null at the end."""
        gone = self._entries[0].seq - 1 if self._entries else 0
        start = min(max(0, after - gone), len(self._entries))
        end = len(self._entries) if limit is None else min(start + limit, len(self._entries))
        shown = list(islice(self._entries, start, end))
        more = start + len(shown) < len(self._entries)
        return {
            "items": [entry.as_json() for entry in shown],
            "next_cursor": shown[-1].seq if more and shown else None,
            "last_seq": self._last_seq,
            "dropped": self.dropped,
        }

    def clear(self) -> None:
        """Forget every entry; numbering goes on."""
        self._entries.clear()
        self.dropped = 0


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The part of `headers` that may be kept, with lower-case names."""
    lowered = {name.lower(): value for name, value in headers.items()}
    return {name: lowered[name] for name in KEPT_HEADERS if name in lowered}


def _decoded(value: Any) -> Any:
    """Text that was kept raw (cheaper in memory) becomes JSON when it is JSON."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
