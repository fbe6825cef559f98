"""Who is signed in: a token's owner as the services know her, and what she may do there."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp

from console.client.operations import SERVICES, Operation
from console.client.suite import RefusedError, Suite, UnreachableError

_KNOWN_FOR_S = 2.0
_AT_FIRST_S = 5.0
"""How long a service may take to say whose a token is that nobody has asked about before."""
_AGAIN_S = 2.0
"""And later, when every page of hers would wait for it."""
_KEPT = 200
_ROLES = ("viewer", "operator", "admin")
_UNAUTHORIZED = 401


class NotSignedInError(Exception):
    """No service accepts the token (any more)."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person, her connection, and what she may do: operations as ``METHOD /path``, by service.

    ``away``: services that do not answer; what she may do there is what they said last.
    """

    suite: Suite
    name: str
    role: str
    permissions: Mapping[str, frozenset[str]]
    away: tuple[str, ...] = ()

    def may(self, operation: Operation) -> bool:
        """Tell whether the service lets her, or did when it last answered. Where it never has, nobody may."""
        return _line(operation) in self.permissions.get(operation.service, frozenset())

    def for_a_page(self) -> Person:
        """Return her as one page knows her: its services have so long to answer, and those that were silent just now less."""
        return replace(self, suite=self.suite.for_a_page(silent=self.away))

    def reading(self, language: str) -> Person:
        """Return her as one who reads this language."""
        return replace(self, suite=replace(self.suite, language=language))

    def lost_by(self, error: RefusedError) -> bool:
        """Tell whether a refusal means that her token is nobody's any more: by a service that knew it a moment ago."""
        return error.status == _UNAUTHORIZED and error.service in self.permissions


@dataclass(slots=True)
class _Verdict:
    """What one service last said that a token may do: nothing when it is nobody's, None while it has not said anything.

    ``asking`` is held by the one who asks for all.
    """

    permissions: frozenset[str] | None = None
    until: float = 0.0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class _Kept:
    suite: Suite
    person: Person | None = None
    until: float = 0.0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    verdicts: dict[str, _Verdict] = field(default_factory=dict)


class People:
    """Connections by token, the longest unused forgotten first. What a token may do is asked again after two seconds: services read
    their tokens every two, so that one that was withdrawn is nobody's here within five. However many pages and streams of hers want
    to know at the same time, it is asked once.
    """

    def __init__(self, session: aiohttp.ClientSession, urls: Mapping[str, str]) -> None:
        self._session = session
        self._urls = urls
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def forget(self, token: str) -> None:
        """Ask again who it is the next time."""
        self._kept.pop(_digest(token), None)

    def nobody(self) -> Suite:
        """Return the connection of who is not signed in: it reads what is open to everybody."""
        return Suite(self._session, self._urls, "")

    async def person(self, token: str) -> Person:
        """Return the token's owner. Raises ``NotSignedInError`` when nobody knows it, ``UnreachableError`` when nobody answers."""
        kept = self._of(token)
        async with kept.asking:
            if kept.person is None or time.monotonic() >= kept.until:
                try:
                    kept.person = await _asked(kept.suite, kept.person)
                except NotSignedInError:
                    self.forget(token)
                    raise
                kept.until = time.monotonic() + _KNOWN_FOR_S
            return kept.person

    async def may_still(self, person: Person, operation: Operation) -> bool:
        """Tell whether her token may do it now, for who goes on looking: asked of that one service, which answers or did two seconds ago.

        While it cannot say, it is as it was: what it would let her see does not come either.
        """
        kept = self._of(person.suite.token)
        verdict = kept.verdicts.setdefault(operation.service, _Verdict(person.permissions.get(operation.service)))
        async with verdict.asking:
            if time.monotonic() >= verdict.until:
                try:
                    said = await _whoami(kept.suite, operation.service, within=_AGAIN_S)
                    verdict.permissions = frozenset(said["permissions"])
                except RefusedError as error:
                    if error.status == _UNAUTHORIZED:
                        verdict.permissions = frozenset()
                except UnreachableError:
                    pass
                verdict.until = time.monotonic() + _KNOWN_FOR_S
            return verdict.permissions is None or _line(operation) in verdict.permissions

    def _of(self, token: str) -> _Kept:
        digest = _digest(token)
        kept = self._kept.setdefault(digest, _Kept(Suite(self._session, self._urls, token)))
        self._kept.move_to_end(digest)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return kept


def _line(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


async def _whoami(suite: Suite, service: str, *, within: float) -> Any:
    """Return whose token it is. ``UnreachableError`` after so many seconds, too: one service that hangs holds up no page for long."""
    try:
        async with asyncio.timeout(within):
            return await suite.get(service, "/admin/v1/whoami")
    except TimeoutError:
        raise UnreachableError(service, "", f"nothing within {within:g} s", timed_out=True) from None


async def _asked(suite: Suite, before: Person | None) -> Person:
    within = _AT_FIRST_S if before is None else _AGAIN_S
    answers = await asyncio.gather(
        *(_whoami(suite, service, within=within) for service in SERVICES), return_exceptions=True
    )
    known = {}
    away = []
    for service, answer in zip(SERVICES, answers, strict=True):
        if isinstance(answer, UnreachableError) or (
            isinstance(answer, RefusedError) and answer.status != _UNAUTHORIZED
        ):
            away.append(service)
        elif isinstance(answer, BaseException):
            if not isinstance(answer, RefusedError):
                raise answer
        elif answer["role"] in _ROLES:
            known[service] = answer
    if not known:
        if len(away) == len(SERVICES):
            raise UnreachableError("every service", "its address", "none answers")
        raise NotSignedInError
    last_said = {} if before is None else {each: held for each, held in before.permissions.items() if each in away}
    least = min(known.values(), key=lambda answer: _ROLES.index(answer["role"]))
    return Person(
        suite=suite,
        name=least["name"],
        role=least["role"],
        permissions=last_said | {service: frozenset(answer["permissions"]) for service, answer in known.items()},
        away=tuple(away),
    )
