"""Erasing a customer: every place of a service that holds customers' data blanks what it holds of one, in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from common.digits import digits_of, plain_digits
from common.http import ADMIN, AdminChange, Answer, Change, ChangeAnswer, Changes, Request, Route, change_route
from common.postgres import Connection
from common.telemetry import mask_contact

_FEWEST_DIGITS = 10  # a whole number: fewer are the end of strangers' numbers, too


def _phone(text: str) -> str:
    if len(digits_of(text)) < _FEWEST_DIGITS:
        raise ValueError(f"needs {_FEWEST_DIGITS} digits at least")
    return plain_digits(text).strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom to erase: exactly one of these is given. A phone stands there as somebody wrote it: compare digits."""

    order_number: str | None = None
    phone: str | None = None
    email: str | None = None

    @property
    def target(self) -> str:
        """The name in the audit log, which keeps no customer's data."""
        if self.order_number is not None:
            return f"order:{self.order_number}"
        return (
            f"phone:{mask_contact(self.phone)}" if self.phone is not None else f"email:{mask_contact(self.email or '')}"
        )


class Erasure(AdminChange):
    """Whom to erase: one of these."""

    order_number: Annotated[str | None, Field(min_length=1, max_length=255)] = None
    phone: Annotated[str, Field(max_length=64), AfterValidator(_phone)] | None = None
    email: Annotated[str | None, Field(max_length=320, pattern=r"^\s*[^@\s]+@[^@\s]+\s*$")] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(given is not None for given in (self.order_number, self.phone, self.email)) != 1:
            raise ValueError("say whom: one of order_number, phone and email")
        return self


class Erased(ChangeAnswer):
    """In how many places of each kind something was blanked; with a dry run, would be. `kept` says what stays, and why. Nobody is told."""

    dry_run: bool
    places: int
    by_kind: dict[str, int]
    kept: dict[str, str]


_KEPT = {
    "stored_answers": "answers to repeated requests go by themselves within two days",
    "outbox": "an event on its way is sent as it was written and leaves this service with that; while the broker is away it waits: "
    "erase again, here and where it arrives, when it was sent",
}

Erase = Callable[[Connection, Subject], Awaitable[int]]
"""Blanks what one kind of place holds of a customer, in the caller's transaction, and returns in how many. It deletes no row: numbers,
sums and audit records stay. What is blank already is not counted, so that a second erasure finds nothing."""

EraseAll = Callable[[Connection, Subject], Awaitable[Mapping[str, int]]]
"""The same of all kinds of places, by kind."""


def in_turn(places: Mapping[str, Erase]) -> EraseAll:
    """Return what asks each of these places, in their order."""

    async def _erase_all(connection: Connection, subject: Subject) -> Mapping[str, int]:
        return {kind: await erase(connection, subject) for kind, erase in places.items()}

    return _erase_all


def erasure_routes(changes: Changes, erase: EraseAll, *, kept: Mapping[str, str] | None = None) -> list[Route]:
    """Return ``POST /admin/v1/erasures``, which erases with ``erase``; ``kept`` names what stays and the reason.

    All places are blanked in one transaction with the audit record, which names an order, or a phone or mail masked. Stored answers to
    requests with an ``Idempotency-Key`` and plans go by themselves within two days.
    """
    stays = {**_KEPT, **(kept or {})}

    async def _erase(request: Request[Erasure, None]) -> Answer:
        asked = request.body
        subject = Subject(order_number=asked.order_number, phone=asked.phone, email=asked.email)

        async def _work(change: Change) -> Erased:
            found = dict(await erase(change.connection, subject))
            await change.record("customer_data.erase", subject.target, after={"by_kind": found})
            return Erased(dry_run=change.dry_run, places=sum(found.values()), by_kind=found, kept=stays)

        return await changes.carry_out(request, _work)

    return [
        change_route(
            "POST",
            "/admin/v1/erasures",
            _erase,
            "Erase a customer's data here, by order, phone or mail",
            Erasure,
            Erased,
            description="Blanks it wherever this service holds it, also in bodies kept as they came. Numbers, sums and audit stay.",
            roles=ADMIN,
        )
    ]
