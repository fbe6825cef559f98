"""The link by which a calendar follows the roster: a calendar cannot sign in, so the link itself says whose it is."""

from __future__ import annotations

import hashlib
import hmac

from pydantic import SecretStr

_LENGTH = 40


def seal(person: str, key: SecretStr) -> str:
    """Return the part of a person's link that only this console can make. It holds until the session's key is changed."""
    return hmac.new(key.get_secret_value().encode(), f"calendar:{person}".encode(), hashlib.sha256).hexdigest()[
        :_LENGTH
    ]


def is_sealed(person: str, given: str, key: SecretStr) -> bool:
    """Tell whether a link is one of ours."""
    return hmac.compare_digest(seal(person, key).encode(), given.encode("utf-8", "surrogateescape"))
