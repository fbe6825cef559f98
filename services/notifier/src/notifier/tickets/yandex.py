"""Yandex Tracker, API v3, by a small client of our own (its official one is synchronous and retries eleven times at once)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from aiohttp import ClientError

from common.errors import Unavailable
from common.http import Calling
from common.reading.values import storable
from notifier.tickets.model import OutsideComment, OutsideIssue, TrackerRefused

_PAGE = 50
_MOST_PAGES = 20
_LARGEST_ID = 2**63 - 1
_LONGEST_LOGIN = 100
_NAMES_OF_A_USER = ("login", "uid", "trackerUid", "passportUid", "cloudUid")
_CLOSED = ("closed", "resolved")
_CLOSED_TYPES = ("done", "cancelled")
_OPEN = ("open", "reopened", "inProgress")


class YandexTracker(Calling):
    """One organisation. ``unique`` makes creation idempotent: a 409 means it is there, and ``_findByUnique`` says which it is.

    Raises ``Unavailable`` for a time-out, 429, 5xx and what cannot be read, ``TrackerRefused`` for another 4xx.
    Another tracker has the same public methods: ``create``, ``comment``, ``comments``, ``issues``, ``issue``, ``changed_by``, ``link``,
    ``assign``, ``move``, ``own_names`` and ``close``.
    """

    def __init__(
        self, *, url: str, token: str, scheme: str, organisation: str, organisation_header: str, deadline: float
    ) -> None:
        self._url, self._myself = url.rstrip("/") + "/v3/issues", url.rstrip("/") + "/v3/myself"
        self._headers = {"Authorization": f"{scheme} {token}", organisation_header: organisation}
        self._deadline = deadline
        self._own_names: frozenset[str] | None = None

    async def create(self, *, queue: str, summary: str, description: str, unique: str) -> str:
        """Return the key of the issue with this ``unique``."""
        body = {"queue": queue, "summary": summary, "description": description, "unique": unique}
        status, issue = await self._call("POST", "", json=body, allowed=(409,))
        if status == 409:
            _, issue = await self._call("GET", "/_findByUnique", params={"unique": unique})
        with _reading():
            return storable(str(issue["key"]))

    async def comment(self, key: str, text: str, *, summon: Sequence[str]) -> str:
        """Add a comment."""
        body: dict[str, Any] = {"text": text, **({"summonees": list(summon)} if summon else {})}
        _, comment = await self._call("POST", f"/{quote(key, safe='')}/comments", json=body)
        with _reading():
            return storable(str(comment["id"]))

    async def comments(self, key: str, *, after: int) -> Sequence[OutsideComment]:
        """Return the comments after one, a thousand at most; without any that nobody could read."""
        found: list[OutsideComment] = []
        for _ in range(_MOST_PAGES):
            params = {"id": str(found[-1].id if found else after), "perPage": str(_PAGE)}
            _, page = await self._call("GET", f"/{quote(key, safe='')}/comments", params=params)
            items = page if isinstance(page, list) else []
            found += [comment for comment in map(_comment, items) if comment is not None]
            if len(items) < _PAGE:
                break
        return found

    async def issues(self, keys: Sequence[str]) -> Mapping[str, OutsideIssue]:
        """Return what the search finds of at most fifty issues, by the keys that were asked for. The search may be some moments behind.

        Where it refuses them together, each is read by itself; those that are not there are left out.
        """
        try:
            _, page = await self._call("POST", "/_search", json={"keys": list(keys)}, params={"perPage": str(_PAGE)})
        except TrackerRefused:
            found = [await self._issue_if_there(key) for key in keys]
            return {issue.key: issue for issue in found if issue is not None}
        by_name: dict[str, OutsideIssue] = {}
        for item in page if isinstance(page, list) else []:
            try:
                names = [str(item["key"]), *map(str, item.get("aliases") or ())]
                by_name |= {name: _issue(name, item) for name in names}
            except (LookupError, TypeError, ValueError, AttributeError):
                continue
        return {key: by_name[key] for key in keys if key in by_name}

    async def issue(self, key: str) -> OutsideIssue:
        """Return an issue as it is now."""
        _, item = await self._call("GET", f"/{quote(key, safe='')}")
        with _reading():
            return _issue(key, item)

    async def changed_by(self, key: str, field: str) -> str | None:
        """Return the login of who changed ``status`` or ``assignee`` last; None where the tracker does not say."""
        after = ""
        changes: list[Any] = []
        for _ in range(_MOST_PAGES):
            params = {"field": field, "perPage": str(_PAGE), **({"id": after} if after else {})}
            try:
                _, page = await self._call("GET", f"/{quote(key, safe='')}/changelog", params=params)
            except TrackerRefused:
                return None
            with _reading():
                changes = list(page) or changes
                if len(page) < _PAGE:
                    break
                after = str(page[-1]["id"])
        with _reading():
            return _login(changes[-1]["updatedBy"]) if changes else None

    async def _issue_if_there(self, key: str) -> OutsideIssue | None:
        try:
            return await self.issue(key)
        except TrackerRefused:
            return None

    async def link(self, key: str, other: str) -> None:
        """Link an issue to another; 422 says that they are linked already."""
        body = {"relationship": "relates", "issue": other}
        await self._call("POST", f"/{quote(key, safe='')}/links", json=body, allowed=(422,))

    async def move(self, key: str, *, opened: bool) -> None:
        """Open an issue again, or close it, by whatever step its queue has for that; one that stands there already is left alone."""
        wanted = _OPEN if opened else _CLOSED
        path = f"/{quote(key, safe='')}"
        _, issue = await self._call("GET", path)
        with _reading():
            status = str(issue["status"]["key"])
            if _state(issue) == ("open" if opened else "closed"):
                return
        _, steps = await self._call("GET", f"{path}/transitions")
        with _reading():
            to = {str(step["to"]["key"]): str(step["id"]) for step in steps}
        step = next((to[target] for target in wanted if target in to), None)
        if step is None:
            raise TrackerRefused(f"{key} has no step from {status} to any of {', '.join(wanted)}")
        body = {} if opened else {"resolution": "fixed"}
        await self._call("POST", f"{path}/transitions/{quote(step, safe='')}/_execute", json=body)

    async def assign(self, key: str, login: str | None) -> None:
        """Assign an issue to somebody, or to nobody."""
        await self._call("PATCH", f"/{quote(key, safe='')}", json={"assignee": login})

    async def _call(
        self,
        method: str,
        path: str | None,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        allowed: Sequence[int] = (),
    ) -> tuple[int, Any]:
        url = self._myself if path is None else self._url + path
        try:
            async with (
                asyncio.timeout(self._deadline),
                self._opened(service="notifier", headers=self._headers).request(
                    method, url, json=json, params=params
                ) as answer,
            ):
                if answer.status in allowed:
                    return answer.status, None
                if answer.status == 429 or answer.status >= 500:
                    raise Unavailable(f"the tracker answered {answer.status}")
                if answer.status >= 400:
                    raise TrackerRefused(f"the tracker refuses ({answer.status})")
                return answer.status, await answer.json(content_type=None)
        except TimeoutError:
            raise Unavailable(f"no answer of the tracker within {self._deadline:g} s") from None
        except (ClientError, OSError, ValueError, LookupError, RecursionError) as error:  # the last: of its JSON
            raise Unavailable(f"the tracker cannot be reached ({type(error).__name__})") from None

    async def own_names(self) -> Set[str]:
        """Return the ids and the login under which what this token does is shown as an author's; none where the tracker does not say."""
        if self._own_names is None:
            try:
                _, user = await self._call("GET", None)
            except TrackerRefused:
                return frozenset()
            with _reading():
                self._own_names = frozenset(str(user[name]) for name in _NAMES_OF_A_USER if user.get(name) is not None)
        return self._own_names


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError):
        raise Unavailable("the tracker's answer could not be read") from None


def _issue(key: str, item: Any) -> OutsideIssue:
    return OutsideIssue(key=key, state=_state(item), assignee=_login(item.get("assignee")))


def _state(item: Any) -> str:
    """Return "closed" for an issue whose status, or the kind of it, ends the work, else "open"."""
    kind = item.get("statusType") or {}
    return "closed" if str(item["status"]["key"]) in _CLOSED or kind.get("key") in _CLOSED_TYPES else "open"


def _login(person: Any) -> str | None:
    return None if person is None else storable(str(person["id"]))[:_LONGEST_LOGIN]


def _comment(item: Any) -> OutsideComment | None:
    try:
        author, number = item.get("createdBy") or {}, int(item["id"])
        text = storable(str(item.get("text") or ""))
        comment = OutsideComment(id=number, author=storable(str(author.get("id", ""))), text=text)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return comment if 0 <= number <= _LARGEST_ID else None
