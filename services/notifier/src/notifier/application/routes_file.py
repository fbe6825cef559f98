"""The routes file (NOTIFIER_ROUTES_FILE): JSON, checked whole at start, one clear line when something is wrong."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import ConfigurationError
from notifier.domain.routes import Destination, Route, Routes

Trait = Literal["environment", "kind", "severity", "source", "store_id", "zone"]
_CHAT = re.compile(r"-?[0-9]{1,19}|@[A-Za-z0-9_]{4,}")
_MAIL = re.compile(r"[^@\s<>]+@[^@\s<>]+")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Destination(_Strict):
    channel: Literal["telegram", "slack", "mail"]
    address: Annotated[str, Field(min_length=1, max_length=200)]
    topic: Annotated[int | None, Field(gt=0)] = None


class _Route(_Strict):
    name: Annotated[str, Field(min_length=1)]
    match: dict[Trait, list[str]] = Field(default_factory=dict)
    to: Annotated[list[str], Field(min_length=1)]


class _File(_Strict):
    destinations: dict[str, _Destination]
    stores: dict[str, dict[str, str]] = Field(default_factory=dict)
    routes: list[_Route]


def read_routes(text: str | bytes, *, name: str) -> Routes:
    """Return the table. ``name`` is what the file is called in the message of a ``ConfigurationError``.

    ``stores`` maps store ids to ``{"pickers": destination, "store": destination}``; the store ``default`` serves the others.
    """
    try:
        file = _File.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise ConfigurationError(f"the routes file {name} is wrong at {place}: {first['msg']}") from None
    for key, destination in file.destinations.items():
        if destination.channel == "telegram" and _CHAT.fullmatch(destination.address) is None:
            raise ConfigurationError(f"the routes file {name}: {key} needs a Telegram chat id or @name as its address")
        if destination.channel == "mail" and _MAIL.fullmatch(destination.address) is None:
            raise ConfigurationError(f"the routes file {name}: {key} needs a mail address")
        if destination.topic is not None and destination.channel != "telegram":
            raise ConfigurationError(f"the routes file {name}: {key} has a topic, which only Telegram knows")
    try:
        return Routes(
            destinations={
                key: Destination(name=key, channel=each.channel, address=each.address, topic=each.topic)
                for key, each in file.destinations.items()
            },
            routes=tuple(
                Route(
                    name=route.name,
                    match={trait: tuple(patterns) for trait, patterns in route.match.items()},
                    to=tuple(route.to),
                )
                for route in file.routes
            ),
            stores={store: roles for store, roles in file.stores.items() if store != "default"},
            default_store=file.stores.get("default", {}),
        )
    except ValueError as error:
        raise ConfigurationError(f"the routes file {name}: {error}") from None
