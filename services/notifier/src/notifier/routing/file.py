"""The routes file (NOTIFIER_ROUTES_FILE): JSON, checked whole at start, one clear line when something is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from common.contracts.files import read_json_file
from common.errors import ConfigurationError
from notifier.messages.channels import CHANNELS
from notifier.routing.model import Destination, Route, Routes

Label = Literal[
    "environment", "kind", "severity", "source", "store_id", "zone", "service", "alert", "order_number", "fingerprint"
]
_Equal = Literal["environment", "service", "source", "store_id", "zone", "order_number"]
Match = dict[Label, list[str]]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Destination(_Strict):
    channel: str
    address: Annotated[str, Field(min_length=1, max_length=200)]
    topic: Annotated[int | None, Field(gt=0)] = None
    fallback: str | None = None
    invented: bool = False


class _Route(_Strict):
    name: Annotated[str, Field(min_length=1)]
    match: Match = Field(default_factory=dict)
    to: Annotated[list[str], Field(min_length=1)]


class InhibitionRule(_Strict):
    """While a problem fits ``source``, one that fits ``target`` and has the same ``equal`` labels is not notified.

    The service is always one of them, whether it is named or not.
    """

    name: Annotated[str, Field(min_length=1)]
    source: Annotated[Match, Field(min_length=1)]
    target: Annotated[Match, Field(min_length=1)]
    equal: list[_Equal] = Field(default_factory=list)


class RoutesFile(_Strict):
    """The whole file."""

    destinations: dict[str, _Destination]
    stores: dict[str, dict[str, str]] = Field(default_factory=dict)
    routes: list[_Route]
    inhibit: list[InhibitionRule] = Field(default_factory=list)


_FILE = TypeAdapter(RoutesFile)


def frozen(match: Mapping[Label, list[str]]) -> dict[str, tuple[str, ...]]:
    """Return what a file or a request says of traits as the domain has it."""
    return {label: tuple(patterns) for label, patterns in match.items()}


def read_file(text: str | bytes, *, name: str) -> RoutesFile:
    """Parse the file. ``name`` is what it is called in the message of a ``ConfigurationError``."""
    try:
        return read_json_file(_FILE, text)
    except ConfigurationError as error:
        raise ConfigurationError(f"the routes file {name} {error.detail}") from None


def read_routes(text: str | bytes, *, name: str) -> Routes:
    """Return the table. ``name`` is what the file is called in the message of a ``ConfigurationError``.

    ``stores`` maps store ids to ``{"pickers": destination, "store": destination}``; the store ``default`` serves the others.
    """
    file = read_file(text, name=name)
    for key, destination in file.destinations.items():
        rules = CHANNELS.get(destination.channel)
        if rules is None:
            raise ConfigurationError(f"the routes file {name}: {key} names no channel, which are {', '.join(CHANNELS)}")
        if rules.address.fullmatch(destination.address) is None:
            raise ConfigurationError(f"the routes file {name}: {key} needs {rules.wants}")
        if destination.topic is not None and not rules.topics:
            raise ConfigurationError(f"the routes file {name}: {key} has a topic, which only Telegram knows")
    try:
        return Routes(
            destinations={key: Destination(name=key, **each.model_dump()) for key, each in file.destinations.items()},
            routes=tuple(
                Route(name=route.name, match=frozen(route.match), to=tuple(route.to)) for route in file.routes
            ),
            stores={store: roles for store, roles in file.stores.items() if store != "default"},
            default_store=file.stores.get("default", {}),
        )
    except ValueError as error:
        raise ConfigurationError(f"the routes file {name}: {error}") from None
