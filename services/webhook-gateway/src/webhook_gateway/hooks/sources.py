"""Reads the file that names the marketplaces: how each proves who it is, and how hooks that do not fit are answered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter

from common.contracts.files import read_first, read_json_file
from common.errors import ConfigurationError
from common.money import exponent
from webhook_gateway.countdowns.model import ANSWER_WITHIN_S, REPEATS_S, Schedule
from webhook_gateway.hooks.authentication import Authenticator, Basic, ClientToken, StandardWebhooks
from webhook_gateway.hooks.model import WEBSITE, Source

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _ClientToken(_Strict):
    kind: Literal["client_token"]
    tokens: list[SecretStr] = Field(min_length=1)


class _StandardWebhooks(_Strict):
    kind: Literal["standard_webhooks"]
    secrets: list[SecretStr] = Field(min_length=1)


class _Credentials(_Strict):
    username: str
    password: SecretStr = Field(min_length=1)


class _Basic(_Strict):
    kind: Literal["basic"]
    credentials: list[_Credentials] = Field(min_length=1)


class _Source(_Strict):
    auth: Annotated[_ClientToken | _StandardWebhooks | _Basic, Field(discriminator="kind")]
    on_invalid: Literal["accept", "reject"] = "accept"
    currency: str = "RUB"
    answer_within: float = Field(default=ANSWER_WITHIN_S, gt=0, le=300)
    repeats: tuple[Annotated[float, Field(gt=0, le=7 * 86400)], ...] = Field(
        default=REPEATS_S, min_length=1, max_length=50
    )


_FILE = TypeAdapter(dict[str, _Source])


class Sources(Mapping[str, Source]):
    """The sources by name, as the file last read has them."""

    def __init__(self) -> None:
        self._sources: Mapping[str, Source] = {}
        self.schedules: dict[str, Schedule] = {}
        """Also of sources that the file names no more: their countdowns still run."""

    def read(self, raw: bytes) -> None:
        """Know the sources of this file from now on, and no others.

        Raises ``ConfigurationError``, with no secret in it, on anything that is not sound, and goes on with the sources of before.
        """
        entries = read_json_file(_FILE, raw)
        if not entries:
            raise ConfigurationError("names no source")
        self._sources = {name: _source(name, entry) for name, entry in entries.items()}
        self.schedules |= {name: source.schedule for name, source in self._sources.items()}

    def __getitem__(self, name: str) -> Source:
        return self._sources[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


def load_sources(path: Path) -> Sources:
    """Read the file (see ``Sources.read``). Raises ``ConfigurationError`` with one line that holds no secret."""
    sources = Sources()
    read_first(path, "sources file", sources.read)
    return sources


def _source(name: str, entry: _Source) -> Source:
    if not _NAME.fullmatch(name) or name == WEBSITE:
        raise ConfigurationError(
            f"is malformed: a source's name is lower-case letters, digits, - and _, and not {WEBSITE!r}"
        )
    try:
        exponent(entry.currency)
        return Source(
            name=name,
            authenticator=_authenticator(entry),
            accept_invalid=entry.on_invalid == "accept",
            currency=entry.currency,
            schedule=Schedule(answer_within=entry.answer_within, repeats=entry.repeats),
        )
    except ValueError as error:
        raise ConfigurationError(f"is malformed at {name}: {error}") from None


def _authenticator(entry: _Source) -> Authenticator:
    auth = entry.auth
    if isinstance(auth, _ClientToken):
        tokens = [token.get_secret_value().strip() for token in auth.tokens]
        if not all(tokens):
            raise ValueError("a token is empty")
        return ClientToken(tokens)
    if isinstance(auth, _StandardWebhooks):
        return StandardWebhooks(secret.get_secret_value().strip() for secret in auth.secrets)
    return Basic((pair.username, pair.password.get_secret_value()) for pair in auth.credentials)
