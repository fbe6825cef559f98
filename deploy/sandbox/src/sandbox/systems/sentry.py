"""Sentry's ingest endpoint, `POST /api/{project}/envelope/` as SDKs send it, and the pages where people read what came.

What came is in `/sandbox/sentry/log`, item by item.
"""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from aiohttp import web

from sandbox.faults import FaultMode, FaultOrder
from sandbox.gate import Answer, Call, HttpSystem

_KEY = re.compile(r"sentry_key=([0-9A-Za-z]+)")
_LARGEST_ITEM = 1024 * 1024
_TERM = re.compile(r'([\w.]+):(?:"([^"]*)"|(\S+))')


class Sentry(HttpSystem):
    """Takes envelopes with any key. An event's JSON is kept as JSON; attachments and the like by their size only."""

    name: ClassVar[str] = "sentry"

    def routes(self) -> list[web.RouteDef]:
        """One address of the protocol (the older `/store/` is not spoken any more); the list of issues, searched by tags, and an issue."""
        return [
            web.post("/api/{project}/envelope/", self.endpoint("envelope", self._envelope)),
            web.get("/organizations/{organization}/issues/", self._issues),
            web.get("/organizations/{organization}/issues/{issue}/", self._issue),
        ]

    def refusal(self, fault: FaultOrder, call: Call) -> Answer:
        """A 500, a 429 with Sentry's own header, or a project that is switched off."""
        match fault.mode:
            case FaultMode.RATE_LIMIT:
                wait = max(1, round(fault.delay))
                headers = {"Retry-After": str(wait), "X-Sentry-Rate-Limits": f"{wait}::organization"}
                return Answer(429, {"detail": "event rejected due to rate limit"}, headers)
            case FaultMode.DECLINED:
                return Answer(403, {"detail": "event submission rejected with_reason: ProjectId"})
            case _:
                return Answer(500, {"detail": "internal error"})

    def _record(
        self,
        call: Call,
        answer: Answer | None,
        *,
        fault: FaultOrder | None = None,
        effect: bool | None = None,
        lost: bool = False,
    ) -> None:
        shown = json.dumps(_parsed(call.raw) or {"unreadable": len(call.raw)}).encode()
        super()._record(replace(call, raw=shown), answer, fault=fault, effect=effect, lost=lost)

    async def _envelope(self, call: Call) -> Answer:
        if not call.match["project"].isdecimal():
            return Answer(400, {"detail": "invalid project id"})
        given = f"{call.headers.get('X-Sentry-Auth', '')} {'&'.join(f'{k}={v}' for k, v in call.query.items())}"
        if _KEY.search(given) is None:
            return Answer(401, {"detail": "missing authorization information"})
        envelope = _parsed(call.raw)
        if envelope is None:
            return Answer(400, {"detail": "invalid envelope"})
        if any(item["size"] > _LARGEST_ITEM for item in envelope["items"]):
            return Answer(413, {"detail": "envelope item is too large"})
        return Answer(200, {"id": envelope["header"].get("event_id")})

    async def _issues(self, request: web.Request) -> web.Response:
        wanted = {name: quoted or bare for name, quoted, bare in _TERM.findall(request.query.get("query", ""))}
        return _page("Issues", [_words(event) for event in self._events() if wanted.items() <= _tags(event).items()])

    async def _issue(self, request: web.Request) -> web.Response:
        return _page(f"Issue {request.match_info['issue']}", [])

    def _events(self) -> list[dict[str, Any]]:
        taken = [entry["request"]["items"] for entry in self.journal.page()["items"] if entry["effect"]]
        return [item["payload"] for items in taken for item in items if item["type"] == "event" and item["payload"]]


def _tags(event: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(event.get(name, "")) for name in ("environment", "release", "level")} | (event.get("tags") or {})


def _words(event: Mapping[str, Any]) -> str:
    thrown = (event.get("exception") or {}).get("values") or [{"type": "Message", "value": event.get("logentry")}]
    return f"{thrown[-1]['type']}: {thrown[-1]['value']}"


def _page(title: str, lines: list[str]) -> web.Response:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return web.Response(text=f"<!doctype html><h1>{html.escape(title)}</h1><ul>{items}</ul>", content_type="text/html")


def _parsed(raw: bytes) -> dict[str, Any] | None:
    """An envelope: a line of JSON, then for each item a line of JSON and its payload. None when it is none."""
    line, _, rest = raw.partition(b"\n")
    header = _json(line)
    if not isinstance(header, dict):
        return None
    items: list[dict[str, Any]] = []
    while rest.strip():
        line, _, rest = rest.partition(b"\n")
        described = _json(line)
        if not isinstance(described, dict) or "type" not in described:
            return None
        payload, rest = _payload(described, rest)
        shown = _json(payload) if described["type"] in {"event", "transaction", "session", "client_report"} else None
        items.append({"type": described["type"], "size": len(payload), "payload": shown})
    return {"header": header, "items": items}


def _payload(described: Mapping[str, Any], rest: bytes) -> tuple[bytes, bytes]:
    length = described.get("length")
    if not isinstance(length, int) or length < 0:
        payload, _, rest = rest.partition(b"\n")
        return payload, rest
    return rest[:length], rest[length:].removeprefix(b"\n")


def _json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
