"""A token that is sent to another service, from a file that may change while this one runs."""

from __future__ import annotations

from codecs import BOM_UTF8
from pathlib import Path

from common.contracts.files import read_first
from common.errors import ConfigurationError


class SentToken:
    """A token as its file has it; ``read`` takes the file's content over. Raises ``ConfigurationError`` without a token in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        read_first(path, "token file", self.read)

    def read(self, raw: bytes) -> None:
        """Send this token from now on. Raises ``ConfigurationError`` unless it is one line of ASCII, and goes on with the one before."""
        token = raw.removeprefix(BOM_UTF8).strip()
        if not token:
            raise ConfigurationError("is empty")
        if not token.isascii() or not token.decode("ascii").isprintable():
            raise ConfigurationError("holds no token")
        self.value = token.decode("ascii")
