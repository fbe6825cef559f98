"""Yandex Tracker: issues that are created once by `unique`, comments, links, transitions, changes, and a search that lags behind."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from aiohttp import web
from pydantic import ValidationError

from sandbox.clock import Clock
from sandbox.control import ControlError, body_of
from sandbox.faults import FaultMode, FaultOrder, FaultPlan
from sandbox.gate import Answer, Call, HttpSystem
from sandbox.kept import Kept
from sandbox.log import Journal
from sandbox.settings import Settings
from sandbox.systems.tracker_bodies import (
    ENDS,
    MOST_FOUND,
    QUEUE,
    RELATIONSHIPS,
    ROBOT,
    STEPS,
    TRANSITIONS,
    CommentBody,
    IssueBody,
    IssueOrder,
    LinkBody,
    PersonAct,
    PersonComment,
    SearchBody,
    TokenOrder,
    TrackerError,
    object_of,
    refused,
)

_LAST = "tracker_numbers"
_MADE = ""
"""Under which comments, links and changes are numbered; no queue is called so."""
_ISSUES = "tracker_issues"


@dataclass(slots=True)
class _Issue:
    key: str
    fields: dict[str, Any]
    unique: str | None
    status: str = "open"
    version: int = 1
    comments: list[dict[str, Any]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    indexed: dict[str, Any] | None = None
    """What the next search finds: what was true at the last one."""


class Tracker(HttpSystem):
    """`Authorization: OAuth|Bearer` and `X-Org-ID` or `X-Cloud-Org-ID`, as the real one wants them."""

    name: ClassVar[str] = "tracker"

    def __init__(self, *, settings: Settings, clock: Clock, journal: Journal, faults: FaultPlan, kept: Kept) -> None:
        super().__init__(clock=clock, journal=journal, faults=faults)
        self._settings = settings
        self._kept = kept
        self._issues = kept.all(_ISSUES, _Issue)
        self._by_unique = {issue.unique: issue for issue in self._issues.values() if issue.unique is not None}
        self._last = kept.all(_LAST, int)  # a reset forgets issues, it never gives one a key again
        self._robot = ROBOT

    def routes(self) -> list[web.RouteDef]:
        """The protocol, and other people's side of it."""
        base = "/v3/issues"
        one = f"{base}/{{key}}"
        creations = [
            web.post(path, self.endpoint("create_issue", self._guarded(self._create))) for path in (base, base + "/")
        ]
        return [
            *creations,
            web.get("/v3/myself", self.endpoint("get_myself", self._guarded(self._get_myself))),
            web.get(f"{base}/_findByUnique", self.endpoint("find_by_unique", self._guarded(self._find_by_unique))),
            web.post(f"{base}/_search", self.endpoint("search_issues", self._guarded(self._search))),
            web.get(one, self.endpoint("get_issue", self._guarded(self._get))),
            web.get(f"{one}/changelog", self.endpoint("get_changelog", self._guarded(self._get_changelog))),
            web.patch(one, self.endpoint("edit_issue", self._guarded(self._edit))),
            web.post(f"{one}/comments", self.endpoint("add_comment", self._guarded(self._add_comment))),
            web.get(f"{one}/comments", self.endpoint("get_comments", self._guarded(self._get_comments))),
            web.post(f"{one}/links", self.endpoint("add_link", self._guarded(self._add_link))),
            web.get(f"{one}/links", self.endpoint("get_links", self._guarded(self._get_links))),
            web.get(f"{one}/transitions", self.endpoint("get_transitions", self._guarded(self._get_transitions))),
            web.post(
                f"{one}/transitions/{{transition}}/_execute", self.endpoint("transition", self._guarded(self._transit))
            ),
            web.put("/sandbox/tracker/token", self._put_token),
            web.post("/sandbox/tracker/issues/{key}/comments", self._person_comments),
            web.put("/sandbox/tracker/issues/{key}", self._put_issue),
            web.patch("/sandbox/tracker/issues/{key}", self._person_acts),
            web.get("/sandbox/tracker/issues", self._list_issues),
        ]

    def refusal(self, fault: FaultOrder, call: Call) -> Answer:
        """A 500, a 429, or a 403."""
        match fault.mode:
            case FaultMode.RATE_LIMIT:
                answer = refused(TrackerError(429, "Too many requests"))
                return Answer(answer.status, answer.body, {"Retry-After": f"{max(1, round(fault.delay))}"})
            case FaultMode.DECLINED:
                return refused(TrackerError(403, "You have no rights for this action"))
            case _:
                return refused(TrackerError(500, "Internal error"))

    def reset(self) -> None:
        """Forget all issues, and whose the token is; numbering goes on."""
        super().reset()
        self._robot = ROBOT
        self._issues.clear()
        self._by_unique.clear()
        self._kept.forget(_ISSUES)

    def _guarded(self, act: Callable[[Call], Answer]) -> Callable[[Call], Any]:
        """Check the caller, act, and word a refusal."""

        async def guarded(call: Call) -> Answer:
            """Act for a caller with a token and an organisation."""
            scheme, _, token = call.headers.get("Authorization", "").partition(" ")
            allowed = self._settings.tracker_token
            if scheme not in ("OAuth", "Bearer") or not token or (allowed is not None and token != allowed):
                return refused(TrackerError(401, "Authentication is required"))
            if not (call.headers.get("X-Org-ID") or call.headers.get("X-Cloud-Org-ID")):
                return refused(TrackerError(403, "Organization is not available, not ready or not found"))
            try:
                return act(call)
            except TrackerError as error:
                return refused(error)
            except ValidationError as error:
                fields = {".".join(map(str, part["loc"])) or "body": part["msg"] for part in error.errors()}
                return refused(TrackerError(422, "The request does not fit", fields))

        return guarded

    def _create(self, call: Call) -> Answer:
        body = IssueBody.model_validate_json(call.raw)
        queue = str(body.queue.get("key", "")) if isinstance(body.queue, dict) else str(body.queue)
        if not QUEUE.fullmatch(queue):
            raise TrackerError(422, "The queue does not exist", {"queue": "unknown"})
        if body.unique is not None and body.unique in self._by_unique:
            raise TrackerError(409, "An issue with this unique value exists already")
        self._number(queue, self._last.get(queue, 0) + 1)
        fields = {name: value for name, value in body.model_dump().items() if value is not None and name != "queue"}
        issue = self._add(f"{queue}-{self._last[queue]}", fields, body.unique)
        return Answer(201, self._shown(issue))

    def _add(self, key: str, fields: dict[str, Any], unique: str | None) -> _Issue:
        now = _stamp(self.clock)
        issue = _Issue(key=key, fields=fields | {"createdAt": now, "updatedAt": now}, unique=unique)
        self._issues[key] = issue
        self._kept.put(_ISSUES, key, issue)
        if unique is not None:
            self._by_unique[unique] = issue
        return issue

    def _number(self, queue: str, number: int) -> None:
        self._last[queue] = max(self._last.get(queue, 0), number)
        self._kept.put(_LAST, queue, self._last[queue])

    def _next(self) -> int:
        self._number(_MADE, self._last.get(_MADE, 0) + 1)
        return self._last[_MADE]

    def _get_myself(self, _: Call) -> Answer:
        """Say whose the token is."""
        robot = self._robot["id"]
        return Answer(200, {"uid": 1, "login": robot, "trackerUid": 1, "display": self._robot["display"]})

    def _find_by_unique(self, call: Call) -> Answer:
        issue = self._by_unique.get(call.query.get("unique", ""))
        if issue is None:
            raise TrackerError(404, "The issue does not exist")
        return Answer(200, self._shown(issue))

    def _get(self, call: Call) -> Answer:
        return Answer(200, self._shown(self._issue(call)))

    def _search(self, call: Call) -> Answer:
        """Find issues by their keys, as the index knows them: it is one search behind, as the real one is some moments."""
        body = SearchBody.model_validate_json(call.raw)
        size = call.query.get("perPage", "50")
        if not size.isdecimal() or not 0 < int(size) <= MOST_FOUND:
            raise TrackerError(400, f"perPage is a whole number up to {MOST_FOUND}")
        found = []
        for issue in (self._issues[key] for key in dict.fromkeys(body.keys) if key in self._issues):
            if issue.indexed is not None:
                found.append(issue.indexed)
            issue.indexed = self._shown(issue)
        return Answer(200, found[: int(size)])

    def _edit(self, call: Call) -> Answer:
        issue = self._issue(call)
        changes = object_of(call)
        if not changes.keys().isdisjoint({"unique", "key", "status"}):
            raise TrackerError(422, "The field cannot be changed")
        if "assignee" in changes:
            login = changes.pop("assignee")
            if login is not None and not (isinstance(login, str) and login):
                raise TrackerError(422, "There is no such person", {"assignee": "unknown"})
            self._assign(issue, login, self._robot)
        issue.fields |= changes
        self._touch(issue)
        return Answer(200, self._shown(issue))

    def _add_comment(self, call: Call) -> Answer:
        issue = self._issue(call)
        body = CommentBody.model_validate_json(call.raw)
        return Answer(201, self._comment(issue, body.text, self._robot))

    def _comment(self, issue: _Issue, text: str, author: dict[str, str]) -> dict[str, Any]:
        made, now = self._next(), _stamp(self.clock)
        comment = {
            "id": made,
            "longId": f"{made:024x}",
            "text": text,
            "createdBy": author,
            "createdAt": now,
            "updatedAt": now,
            "version": 1,
            "type": "standard",
        }
        issue.comments.append(comment)
        self._touch(issue)
        return comment

    def _get_comments(self, call: Call) -> Answer:
        """Pages as the real one: `perPage` (50) comments after the one whose `id` is given."""
        issue = self._issue(call)
        after, size = call.query.get("id", "0"), call.query.get("perPage", "50")
        if not after.isdecimal() or not size.isdecimal() or int(size) == 0:
            raise TrackerError(400, "id and perPage are whole numbers")
        found = [comment for comment in issue.comments if comment["id"] > int(after)]
        return Answer(200, found[: int(size)])

    def _add_link(self, call: Call) -> Answer:
        issue = self._issue(call)
        body = LinkBody.model_validate_json(call.raw)
        if body.relationship not in RELATIONSHIPS:
            raise TrackerError(422, "No such relationship", {"relationship": "unknown"})
        other = self._issues.get(body.issue)
        if other is None or other is issue:
            raise TrackerError(404, "The other issue does not exist")
        if any(link["object"]["key"] == other.key for link in issue.links):
            raise TrackerError(422, "The issues are linked already")
        link = {
            "id": self._next(),
            "type": {"id": body.relationship},
            "direction": "outward",
            "object": {"key": other.key, "display": other.fields["summary"]},
            "createdAt": _stamp(self.clock),
        }
        issue.links.append(link)
        other.links.append(link | {"direction": "inward", "object": {"key": issue.key, "display": ""}})
        for each in (issue, other):
            self._kept.put(_ISSUES, each.key, each)
        return Answer(201, link)

    def _get_links(self, call: Call) -> Answer:
        return Answer(200, self._issue(call).links)

    def _get_transitions(self, call: Call) -> Answer:
        issue = self._issue(call)
        return Answer(200, [{"id": name, "to": {"key": TRANSITIONS[name]}} for name in STEPS[issue.status]])

    def _transit(self, call: Call) -> Answer:
        issue = self._issue(call)
        step = call.match["transition"]
        if step not in STEPS[issue.status]:
            raise TrackerError(404, "The transition does not exist")
        body = call.json() if call.raw else {}
        if TRANSITIONS[step] in ENDS and not (isinstance(body, dict) and body.get("resolution")):
            raise TrackerError(422, "Required fields are missing", {"resolution": "is required"})
        self._step(issue, step, self._robot)
        return self._get_transitions(call)

    def _step(self, issue: _Issue, step: str, author: dict[str, str]) -> None:
        before, issue.status = issue.status, TRANSITIONS[step]
        self._change(issue, "status", {"key": before}, {"key": issue.status}, author)

    def _assign(self, issue: _Issue, login: str | None, author: dict[str, str]) -> None:
        before = issue.fields.pop("assignee", None)
        after = None if login is None else _person(login)
        if after is not None:
            issue.fields["assignee"] = after
        if before != after:
            self._change(issue, "assignee", before, after, author)

    def _change(self, issue: _Issue, name: str, before: Any, after: Any, author: dict[str, str]) -> None:
        """Write a change into the issue's changelog."""
        fields = [{"field": {"id": name}, "from": before, "to": after}]
        issue.changes.append(
            {
                "id": f"{self._next():024x}",
                "issue": {"key": issue.key},
                "updatedAt": _stamp(self.clock),
                "updatedBy": author,
                "type": "IssueWorkflow" if name == "status" else "IssueUpdated",
                "fields": fields,
            }
        )
        self._touch(issue)

    def _get_changelog(self, call: Call) -> Answer:
        """Pages as the real one: `perPage` (50) changes of the `field` after the one whose `id` is given, the oldest first."""
        issue, query = self._issue(call), call.query
        size = query.get("perPage", "50")
        if not size.isdecimal() or int(size) == 0:
            raise TrackerError(400, "perPage is a whole number")
        found = [
            change
            for change in issue.changes
            if change["id"] > query.get("id", "") and query.get("field") in (None, change["fields"][0]["field"]["id"])
        ]
        return Answer(200, found[: int(size)])

    def _issue(self, call: Call) -> _Issue:
        issue = self._issues.get(call.match["key"])
        if issue is None:
            raise TrackerError(404, "The issue does not exist")
        return issue

    def _touch(self, issue: _Issue) -> None:
        issue.version += 1
        issue.fields["updatedAt"] = _stamp(self.clock)
        self._kept.put(_ISSUES, issue.key, issue)

    def _shown(self, issue: _Issue) -> dict[str, Any]:
        queue = issue.key.partition("-")[0]
        return issue.fields | {
            "id": f"{zlib.crc32(issue.key.encode()):024x}",
            "key": issue.key,
            "version": issue.version,
            "queue": {"key": queue, "display": queue},
            "status": {"key": issue.status, "display": issue.status},
            "createdBy": self._robot,
        }

    async def _person_comments(self, request: web.Request) -> web.Response:
        order = await body_of(request, PersonComment)
        issue = self._issues.get(request.match_info["key"])
        if issue is None:
            raise ControlError(404, "no such issue")
        return web.json_response(self._comment(issue, order.text, _person(order.user)), status=201)

    async def _person_acts(self, request: web.Request) -> web.Response:
        order = await body_of(request, PersonAct)
        issue, author = self._issues.get(request.match_info["key"]), _person(order.user)
        if issue is None:
            raise ControlError(404, "no such issue")
        if order.transition is not None and order.transition not in STEPS[issue.status]:
            raise ControlError(409, f"an issue that is {issue.status} has no such step")
        if order.comment is not None:
            self._comment(issue, order.comment, author)
        if "assignee" in order.model_fields_set:
            self._assign(issue, order.assignee, author)
        if order.transition is not None:
            self._step(issue, order.transition, author)
        return web.json_response(self._shown(issue))

    async def _put_token(self, request: web.Request) -> web.Response:
        """Make the token a person's."""
        self._robot = _person((await body_of(request, TokenOrder)).user)
        return web.json_response(self._robot)

    async def _put_issue(self, request: web.Request) -> web.Response:
        order = await body_of(request, IssueOrder)
        key = request.match_info["key"]
        queue, _, number = key.partition("-")
        if not QUEUE.fullmatch(queue) or not number.isdecimal():
            raise ControlError(400, "a key looks like QUEUE-1")
        self._number(queue, int(number))
        issue = self._issues.get(key) or self._add(key, {"summary": order.summary}, None)
        return web.json_response(self._shown(issue))

    async def _list_issues(self, _: web.Request) -> web.Response:
        items = [
            self._shown(issue) | {"unique": issue.unique, "comments": issue.comments, "links": issue.links}
            for issue in self._issues.values()
        ]
        return web.json_response({"items": items, "next_cursor": None})


def _person(login: str) -> dict[str, str]:
    return {"id": login, "display": login}


def _stamp(clock: Clock) -> str:
    return clock.now().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
