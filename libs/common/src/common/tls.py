"""TLS: what went wrong with it, in words of ours. Who speaks it, and whom is believed, stands in addresses and settings."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

_UNREADABLE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


def tls_complaint(error: BaseException) -> str | None:
    """Return in a few words why TLS with a server failed, or None where an error is no matter of TLS. Names no secret."""
    for each in _causes(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            return f"its certificate is not believed: {each.verify_message}"
        if isinstance(each, ssl.SSLError):
            said = (each.reason or "").replace("_", " ").lower()
            return f"TLS failed: {said}" if said else "TLS failed"
        if isinstance(each, _UNREADABLE) and each.filename is None:
            # What OpenSSL cannot open it does not name; the network's own errors are of other classes.
            return "a file of certificates that its address names cannot be read"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give the error and what it was raised from, as far as that goes."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
