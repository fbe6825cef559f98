"""Who calls, and what the caller may do: bearer tokens from a file, and roles."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from common.errors import ConfigurationError

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


def satisfying(roles: Iterable[str]) -> frozenset[str]:
    """Return every role that meets a demand for one of these: viewer < operator < admin, the others stand alone."""
    wanted = set(roles)
    for role in tuple(wanted):
        if role in _LADDER:
            wanted.update(_LADDER[_LADDER.index(role) :])
    return frozenset(wanted)


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: the name that stands in the audit log, and its role."""

    name: str
    role: str

    def has(self, role: str) -> bool:
        """Say whether this caller meets a demand for the role (an admin is an operator too)."""
        return self.role in satisfying((role,))


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    token: SecretStr
    role: str


class _File(BaseModel):
    tokens: list[_Entry]


class TokenBook:
    """The tokens that a service accepts. Holds digests only; comparing takes the same time whichever entry fits."""

    def __init__(self, entries: Iterable[tuple[str, str, str]]) -> None:
        """Take (name, token, role) triples. Raises ``ConfigurationError`` on an empty or doubled token or a strange role."""
        self._entries: list[tuple[bytes, Principal]] = []
        for name, token, role in entries:
            if not name.strip():
                raise ConfigurationError("a token has an empty name")
            if not token.strip():
                raise ConfigurationError(f"the token of {name!r} is empty")
            if role not in ROLES:
                raise ConfigurationError(f"the token of {name!r} has the unknown role {role!r}")
            digest = _digest(token)
            if any(known == digest for known, _ in self._entries):
                raise ConfigurationError(f"the token of {name!r} is given to someone else too")
            self._entries.append((digest, Principal(name=name, role=role)))

    @classmethod
    def load(cls, path: Path) -> TokenBook:
        """Read ``{"tokens": [{"name", "token", "role"}]}``. Raises ``ConfigurationError`` with one line and no token in it."""
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"the token file {path} cannot be read: {error.strerror}") from None
        try:
            entries = _File.model_validate(orjson.loads(raw)).tokens
        except orjson.JSONDecodeError:
            raise ConfigurationError(f"the token file {path} is not JSON") from None
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            place = ".".join(map(str, first["loc"])) or "the document"
            raise ConfigurationError(f"the token file {path} is malformed at {place}: {first['msg']}") from None
        if not entries:
            raise ConfigurationError(f"the token file {path} holds no token")
        try:
            return cls((entry.name, entry.token.get_secret_value(), entry.role) for entry in entries)
        except ConfigurationError as error:
            raise ConfigurationError(f"the token file {path} is malformed: {error.detail}") from None

    def digests_of(self, role: str) -> frozenset[bytes]:
        """Return the SHA-256 of each token with exactly this role, for remembering which tokens were valid once."""
        return frozenset(digest for digest, principal in self._entries if principal.role == role)

    def authenticate(self, token: str) -> Principal | None:
        """Return who the token belongs to, or ``None``. Looks at every entry, always."""
        digest = _digest(token)
        found: Principal | None = None
        for known, principal in self._entries:
            if hmac.compare_digest(known, digest):
                found = principal
        return found

    def from_header(self, authorization: str | None) -> Principal | None:
        """Return who an ``Authorization: Bearer …`` header belongs to, or ``None``."""
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        return self.authenticate(token.strip()) if scheme.lower() == "bearer" else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
