"""Who calls, and what the caller may do: bearer tokens from a file, and roles."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, field_validator, model_validator

from common.clock import Clock, SystemClock
from common.contracts.files import read_first, read_json_file
from common.errors import ConfigurationError
from common.http.fields import Moment
from common.http.scopes import opened_by
from common.telemetry import get_logger

_log = get_logger()

VIEWER = frozenset({"viewer"})
"""May read; operators and admins may too."""
OPERATOR = frozenset({"operator"})
"""May do the standard recipes; admins may too."""
ADMIN = frozenset({"admin"})
"""May change settings and other people's work."""
INTERNAL = frozenset({"internal"})
"""Another service of the suite."""

_LADDER = ("viewer", "operator", "admin")
ROLES = frozenset({*_LADDER, "internal", "website", "website_manager", "marketplace"})

_DOTS_OF_JWT = 2
_LONGEST_NAME = 200
_OF_WEBSITES = frozenset({"website", "website_manager"})
_WEBSITE = re.compile(r"website(?::[a-z0-9][a-z0-9_-]{0,31})?")


def satisfying(roles: Iterable[str]) -> frozenset[str]:
    """Return every role that meets a demand for one of these: viewer < operator < admin, the others stand alone."""
    wanted = set(roles)
    for role in tuple(wanted):
        if role in _LADDER:
            wanted.update(_LADDER[_LADDER.index(role) :])
    return frozenset(wanted)


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: the name that stands in the audit log, its role, and the source that it speaks for, if any.

    ``scopes``: all that its token may be used for within its role; None is everything.
    """

    name: str
    role: str
    source: str | None = None
    scopes: frozenset[str] | None = None

    def has(self, role: str) -> bool:
        """Say whether this caller meets a demand for the role (an admin is an operator too)."""
        return self.role in satisfying((role,))

    def within(self, scope: str) -> bool:
        """Say whether this caller's token is for what asks for the scope."""
        return self.scopes is None or scope in self.scopes


FromElsewhere = Callable[[str], Awaitable[Principal | None]]
"""Says whose a token is that stands in no file, None for nobody's. Raises ``Unavailable`` when that cannot be known now."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    role: str
    token: SecretStr | None = None
    sha256: Annotated[str | None, Field(pattern="^[0-9a-fA-F]{64}$")] = None
    expires_at: Moment | None = None
    revoked: bool = False
    source: Annotated[str | None, Field(min_length=1, max_length=64)] = None
    scopes: Annotated[list[str], Field(min_length=1)] | None = None

    @field_validator("scopes")
    @classmethod
    def _named(cls, scopes: list[str] | None) -> list[str]:
        """Refuse a null that is written: whoever wrote it hardly meant everything, as leaving it out does."""
        if scopes is None:
            raise ValueError("name the scopes, or leave this out for everything")
        return scopes

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.token is None) == (self.sha256 is None):
            raise ValueError("needs either token or sha256")
        return self

    @property
    def digest(self) -> bytes:
        """SHA-256 of the token."""
        if self.token is None:
            return bytes.fromhex(self.sha256 or "")
        token = self.token.get_secret_value().strip()  # as it is sent: a file's last line break is no part of it
        return _digest(token) if token else b""


@dataclass(frozen=True, slots=True)
class _Known:
    digest: bytes
    principal: Principal
    expires_at: datetime | None = None
    revoked: bool = False


class _File(BaseModel):
    tokens: list[_Entry]


_FILE = TypeAdapter(_File)


class TokenBook:
    """The tokens that a service accepts. Holds digests only; comparing takes the same time whichever entry fits."""

    def __init__(self, entries: Iterable[tuple[str, str, str]] = (), *, clock: Clock | None = None) -> None:
        """Take (name, token, role) triples. Raises ``ConfigurationError`` on an empty or doubled token or a strange role."""
        self._clock = clock or SystemClock()
        self._elsewhere: FromElsewhere | None = None
        self._entries = _checked(_Entry(name=name, token=SecretStr(token), role=role) for name, token, role in entries)

    @classmethod
    def load(cls, path: Path, *, clock: Clock | None = None) -> TokenBook:
        """Read the file at ``path`` (see ``read``). Raises ``ConfigurationError`` with one line and no token in it."""
        book = cls(clock=clock)
        read_first(path, "token file", book.read)
        return book

    def read(self, raw: bytes) -> None:
        """Accept the tokens of this file from now on, and no others.

        It is ``{"tokens": [{"name", "role", "token" or "sha256", "expires_at"?, "revoked"?, "source"?, "scopes"?}]}``; ``sha256`` is the
        token's digest in hexadecimal digits, ``source`` the website that it speaks for, ``scopes`` all that it may be used for within
        its role (``common.http.scopes``; without them it is everything). ``revoked``: it got into strangers' hands; nobody may do
        anything with it, and whoever sends it is a stranger. Raises ``ConfigurationError``, which has no token in it, on
        anything else, and goes on with the tokens of before.
        """
        entries = read_json_file(_FILE, raw).tokens
        if not entries:
            raise ConfigurationError("holds no token")
        try:
            before, self._entries = self._entries, _checked(entries)
        except ConfigurationError as error:
            raise ConfigurationError(f"is malformed: {error.detail}") from None
        if before:
            _log_changes(before, self._entries)

    def digests_of(self, role: str) -> frozenset[bytes]:
        """Return the SHA-256 of each token with exactly this role, for remembering which tokens were valid once; of no revoked one."""
        return frozenset(known.digest for known in self._entries if known.principal.role == role and not known.revoked)

    def revoked(self) -> frozenset[bytes]:
        """Return the SHA-256 of each token that the file says is revoked."""
        return frozenset(known.digest for known in self._entries if known.revoked)

    def sources(self) -> frozenset[str]:
        """Return the websites that tokens speak for by name, whether they have expired or not; of no revoked one."""
        return frozenset(
            known.principal.source for known in self._entries if known.principal.source and not known.revoked
        )

    def authenticate(self, token: str) -> Principal | None:
        """Return who the token belongs to, or ``None``: nobody, or it has expired or was revoked. Looks at every entry, always."""
        found = self._known(token)
        if found is None or found.revoked or (found.expires_at is not None and found.expires_at <= self._clock.now()):
            return None
        return found.principal

    def from_header(self, authorization: str | None) -> Principal | None:
        """Return who an ``Authorization: Bearer …`` header belongs to, or ``None``."""
        if authorization is None:
            return None
        token = _bearer(authorization)
        return self.authenticate(token) if token is not None else None

    def trust(self, elsewhere: FromElsewhere) -> None:
        """Have ``elsewhere`` asked about signed tokens (JWT) that the file does not name. One that it names is as it says: also revoked."""
        self._elsewhere = elsewhere

    async def whose(self, authorization: str | None) -> Principal | None:
        """Return who a header belongs to, by the file or by who is trusted besides. Raises ``Unavailable`` if that cannot be known now."""
        token = _bearer(authorization) if authorization is not None else None
        if token is None:
            return None
        if self._elsewhere is None or token.count(".") != _DOTS_OF_JWT or self._known(token) is not None:
            return self.authenticate(token)
        return await self._elsewhere(token)

    def _known(self, token: str) -> _Known | None:
        digest = _digest(token)
        found: _Known | None = None
        for known in self._entries:
            if hmac.compare_digest(known.digest, digest):
                found = known
        return found


def _log_changes(before: Iterable[_Known], after: Iterable[_Known]) -> None:
    """Write down whose tokens came and went; who got another one is in both."""
    were, are = ({(each.digest, each.principal) for each in known if not each.revoked} for known in (before, after))
    names = {"accepted": are - were, "withdrawn": were - are}
    if any(names.values()):
        _log.info("tokens_changed", **{what: sorted({who.name for _, who in some}) for what, some in names.items()})


def _bearer(authorization: str) -> str | None:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _checked(entries: Iterable[_Entry]) -> tuple[_Known, ...]:
    known: dict[bytes, _Known] = {}
    for entry in entries:
        if not entry.name.strip():
            raise ConfigurationError("a token has an empty name")
        if not entry.name.replace("\u00a0", " ").isprintable() or len(entry.name) > _LONGEST_NAME:
            raise ConfigurationError(f"a token has a name that cannot be read, or is longer than {_LONGEST_NAME}")
        if entry.digest in (b"", _digest("")):
            raise ConfigurationError(f"the token of {entry.name!r} is empty")
        if entry.role not in ROLES:
            raise ConfigurationError(f"the token of {entry.name!r} has the unknown role {entry.role!r}")
        if entry.source is not None and (entry.role not in _OF_WEBSITES or _WEBSITE.fullmatch(entry.source) is None):
            raise ConfigurationError(
                f"the token of {entry.name!r} has a source that is none: `website` or `website:kz`, of a website"
            )
        if entry.digest in known:
            raise ConfigurationError(f"the token of {entry.name!r} is given to someone else too")
        try:
            scopes = None if entry.scopes is None else opened_by(entry.scopes)
        except ValueError as error:
            raise ConfigurationError(f"the token of {entry.name!r}: {error}") from None
        principal = Principal(name=entry.name, role=entry.role, source=entry.source, scopes=scopes)
        known[entry.digest] = _Known(entry.digest, principal, entry.expires_at, entry.revoked)
    return tuple(known.values())


def fingerprint(token: str) -> str:
    """Return what stands for a token where it is only verified: whoever reads this cannot call with it."""
    return _digest(token).hex()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
