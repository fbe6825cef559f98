"""Whether a request comes from the source it names. Three ways, each with rotation, each in constant time.

Nothing here raises on what a caller sends: garbage, text that is not ASCII and bodies that are not UTF-8 are simply not genuine
(the reference verifier of Standard Webhooks raises on them, and knows no clock but the machine's, hence our own).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

FORBIDDEN = 403
UNAUTHORIZED = 401
TOLERANCE_S = 300
"""How far ``webhook-timestamp`` may be from now, in seconds, both ways."""

_SECRET_PREFIX = "whsec_"  # noqa: S105 - the marker before a secret, not one
_DIGEST_PREFIX = "sha256:"
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_STAMP = re.compile(r"[0-9]{1,12}")
_LONGEST_CREDENTIAL = 4096


class Authenticator(Protocol):
    """Judges requests of one source, in two steps: before the body is read, and with it. ``headers`` look up names in any case.

    A request is genuine when both steps say so. Neither raises, whatever was sent.
    """

    refusal: int
    """The status that an unproved request is answered with: 403, or 401 where the scheme has a challenge."""
    signs_body: bool
    """Whether nothing is proved before the whole body is there."""
    secret_headers: frozenset[str]
    """The headers, in lower case, that carry what proves the request: they are masked in what is kept."""

    def head_is_genuine(self, headers: Mapping[str, str]) -> bool:
        """Say whether the headers alone allow the request; True where they cannot prove it."""
        ...

    def body_is_genuine(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> bool:
        """Say whether a request whose headers were allowed is genuine, given its whole body."""
        ...


class _ByHead:
    """What the schemes have in common that prove themselves by a header."""

    signs_body = False

    def body_is_genuine(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> bool:
        """Return True: the headers have proved it."""
        return True


class ClientToken(_ByHead):
    """Header ``Client-token``. Several tokens may be valid, so that a rotation needs no moment at which both sides switch."""

    refusal = FORBIDDEN
    secret_headers = frozenset({"client-token"})

    def __init__(self, tokens: Iterable[str]) -> None:
        """Take tokens as text or as ``sha256:`` with the digest in hexadecimal digits. Raises ``ValueError`` on half a digest."""
        self._digests = tuple(_of_entry(token) for token in tokens)
        if not self._digests:
            raise ValueError("a source needs at least one token")

    def head_is_genuine(self, headers: Mapping[str, str]) -> bool:
        """Compare the header with every token; the time taken gives nothing away."""
        given = headers.get("Client-token")
        return given is not None and _is_one_of(_hash(given), self._digests)


class Basic(_ByHead):
    """HTTP Basic (RFC 7617), several pairs of user name and password."""

    refusal = UNAUTHORIZED
    secret_headers = frozenset({"authorization"})

    def __init__(self, credentials: Iterable[tuple[str, str]]) -> None:
        self._digests = tuple(_hash(f"{username}:{password}") for username, password in credentials)
        if not self._digests:
            raise ValueError("a source needs at least one pair of user name and password")

    def head_is_genuine(self, headers: Mapping[str, str]) -> bool:
        """Compare the decoded pair with every valid one; the time taken gives nothing away."""
        given = headers.get("Authorization")
        if given is None or len(given) > _LONGEST_CREDENTIAL:
            return False
        scheme, _, encoded = given.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            pair = base64.b64decode(encoded.strip().encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            return False
        return _is_one_of(hashlib.sha256(pair).digest(), self._digests)


class StandardWebhooks:
    """Standard Webhooks 1.0, symmetric: ``v1`` is HMAC-SHA-256 over ``<id>.<timestamp>.<body>``, body byte for byte."""

    refusal = FORBIDDEN
    signs_body = True
    secret_headers = frozenset({"webhook-signature"})

    def __init__(self, secrets: Iterable[str]) -> None:
        """Take secrets as ``whsec_<base64>`` or bare base64, padded or not. Raises ``ValueError`` on any that is none."""
        self._keys = tuple(_key(secret) for secret in secrets)
        if not self._keys:
            raise ValueError("a source needs at least one secret")

    def head_is_genuine(self, headers: Mapping[str, str]) -> bool:
        """Return True: the signature covers the body."""
        return True

    def body_is_genuine(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> bool:
        """Check the stamp against the clock, then every signature of the header against every secret."""
        message_id = headers.get("webhook-id")
        stamp = headers.get("webhook-timestamp")
        signatures = headers.get("webhook-signature")
        if not message_id or not stamp or not signatures or len(signatures) > _LONGEST_CREDENTIAL:
            return False
        if not _STAMP.fullmatch(stamp) or abs(now.timestamp() - int(stamp)) > TOLERANCE_S:
            return False
        signed = b"%b.%b.%b" % (message_id.encode("utf-8", "surrogateescape"), stamp.encode("ascii"), body)
        expected = tuple(hmac.digest(key, signed, "sha256") for key in self._keys)
        found = False
        for entry in signatures.split(" "):
            version, comma, text = entry.partition(",")
            if version == "v1" and comma:
                found |= _is_one_of(_signature(text), expected)
        return found


def _signature(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""


def _key(secret: str) -> bytes:
    bare = secret.removeprefix(_SECRET_PREFIX)
    try:
        key = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a Standard Webhooks secret is base64") from None
    if not key:
        raise ValueError("a Standard Webhooks secret is not empty")
    return key


def _of_entry(token: str) -> bytes:
    if not token.startswith(_DIGEST_PREFIX):
        return _hash(token)
    digits = token.removeprefix(_DIGEST_PREFIX)
    if _DIGEST.fullmatch(digits) is None:
        raise ValueError("a token's digest is 64 hexadecimal digits")
    if (digest := bytes.fromhex(digits)) == _hash(""):
        raise ValueError("a token is empty")
    return digest


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _is_one_of(given: bytes, valid: Iterable[bytes]) -> bool:
    found = False
    for candidate in valid:  # all of them, always: which one fits must not show in the time taken
        found |= hmac.compare_digest(given, candidate)
    return found
