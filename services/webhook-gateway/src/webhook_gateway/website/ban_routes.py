"""The addresses at which people see who may not order just now, and lift it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from common.errors import NotFound, Unprocessable
from common.http import (
    AdminChange,
    Answer,
    Change,
    ChangeAnswer,
    Changes,
    CustomersData,
    Page,
    PageQuery,
    Request,
    Route,
    change_route,
    listed,
    one_listed,
    read_route,
)
from common.reading import phone_key
from webhook_gateway.website import callers
from webhook_gateway.website.bans import Bans, select_bans

_PATH = "/admin/v1/order-limits"
_MASK = "***"


def masked(value: str) -> str:
    """Return a phone, an address or a network so that it says little: its last two digits, its first word, its network."""
    network = callers.neighbourhood_of(value.partition("/")[0])
    if network is not None:
        return network
    return _MASK + value[-2:] if value.startswith("+") else f"{value.split(' ', 1)[0]} {_MASK}"


class BansQuery(PageQuery):
    """Filters of the list of bans; all must hold."""

    kind: Literal["phone", "address", "ip"] | None = None
    phone: str | None = Field(default=None, max_length=64)
    address: str | None = Field(default=None, max_length=1000)
    ip: str | None = Field(default=None, max_length=64)


class Ban(BaseModel):
    """Somebody whose orders are refused with 429. Viewers see `value` masked. Without further orders it ends at `until`."""

    id: str
    kind: str
    value: Annotated[str, CustomersData(masked)]
    source: str
    since: datetime
    until: datetime
    refused: int
    refused_at: datetime


class Lift(AdminChange):
    """Whose ban: by its id, or by what was counted."""

    id: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    phone: str | None = Field(default=None, max_length=64)
    address: str | None = Field(default=None, max_length=1000)
    ip: str | None = Field(default=None, max_length=64)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in (self.id, self.phone, self.address, self.ip)) != 1:
            raise ValueError("say whose: exactly one of id, phone, address, ip")
        return self


class Lifted(ChangeAnswer):
    """Whoever it was may order again, at every replica within seconds; the count begins at nothing. Nobody is told."""

    id: str
    lifted: bool
    was_banned: bool
    dry_run: bool


class BanRoutes:
    """Who is limited by what, since when, until when, how many; and lifting it, with a reason."""

    def __init__(self, changes: Changes, bans: Bans, *, key: Callable[[str, str], bytes]) -> None:
        """``key`` gives what is counted under a kind and a value (``OrderLimits.key``)."""
        self._changes = changes
        self._bans = bans
        self._key = key

    def routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            read_route(_PATH, self.bans, "Who may not order just now", Page[Ban], query=BansQuery, tags=("website",)),
            read_route(
                f"{_PATH}/{{id}}",
                self.ban,
                "Somebody who may not order just now",
                Ban,
                errors=(NotFound,),
                tags=("website",),
            ),
            change_route(
                "DELETE",
                _PATH,
                self.lift,
                "Let somebody order again",
                Lift,
                Lifted,
                errors=(NotFound, Unprocessable),
                tags=("website",),
            ),
        ]

    async def bans(self, request: Request[None, BansQuery]) -> Page[Ban]:
        """List bans that hold."""
        query = request.query
        asked = [(kind, text) for kind in ("phone", "address", "ip") if (text := getattr(query, kind)) is not None]
        keys = None if not asked else [self._key(kind, _counted(kind, text)) for kind, text in asked]

        def select(after: tuple[Any, ...] | None, limit: int) -> tuple[str, list[Any]]:
            """Return the statement of a page and its values."""
            return select_bans(kind=query.kind, keys=keys, after=after, limit=limit)

        return await listed(
            self._changes.database, query, select, key={"since": datetime, "id": str}, item=lambda row: Ban(**dict(row))
        )

    async def ban(self, request: Request[None, None]) -> Ban:
        """Answer one ban that holds."""
        name = request.path["id"]
        try:
            key = bytes.fromhex(name)
        except ValueError:
            raise NotFound("that names nobody") from None
        found = select_bans(kind=None, keys=[key], after=None, limit=1)
        return await one_listed(self._changes.database, found, named={"id": name}, item=lambda row: Ban(**dict(row)))

    async def lift(self, request: Request[Lift, None]) -> Answer:
        """Lift a ban; all replicas know of it within seconds, this one at once."""
        asked = request.body
        named = next((kind for kind in ("phone", "address", "ip") if getattr(asked, kind) is not None), None)
        key = (
            bytes.fromhex(asked.id or "") if named is None else self._key(named, _counted(named, getattr(asked, named)))
        )

        async def _work(change: Change) -> Lifted:
            found, ended = await self._bans.lift(change.connection, [key])
            if not found:
                raise NotFound("nobody is counted under that")
            before = [
                {"kind": row["kind"], "refused": row["refused"], "until": row["until"].isoformat()} for row in ended
            ]
            await change.record("order_limit.lift", f"order_limit:{key.hex()}", before=before, after={"lifted": True})
            change.after_commit(lambda: self._bans.forget_here([key]))
            return Lifted(id=key.hex(), lifted=True, was_banned=bool(ended), dry_run=change.dry_run)

        return await self._changes.carry_out(request, _work)


def _counted(kind: str, text: str) -> str:
    """Return the one spelling that something is counted in. Raises ``Unprocessable``."""
    found = {"phone": phone_key, "address": callers.words_of, "ip": callers.network_of}[kind](text)
    if found is None:
        raise Unprocessable(f"that is no {kind}")
    return found
