"""What a check asks the marketplace to play, and what one played order is made of."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

Lifecycle = Literal["full", "cancelled", "mixed", "all_six"]
Event = Literal["created", "changed", "paid", "received", "delivered", "cancelled"]
DuplicateWhen = Literal["same_time", "after", "late"]
SendingMode = Literal["in_order", "shuffled", "at_once"]


class PlayOrder(BaseModel):
    """The body of `POST /sandbox/marketplace/play`; durations in seconds.

    `seed` alone decides what the orders are. Their ids are `{id_prefix}-{index}`; the default prefix is new for each
    play, so that a second play makes new orders. `started_at` (default: two minutes ago) is the first time stamp:
    with both given, two plays send the same bytes.

    `duplicates` is the share of hooks that are sent again: at the same time, at once after the answer, or at the end;
    every second time serialised anew (other order of keys, other spacing). `shuffle` is the share of orders whose
    hooks go out in a wrong order, a third of those all at once. Time stamps always keep the true order.

    `schedule` and `timeout_s` replace the marketplace's seven intervals and five seconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    orders: int = Field(default=1, ge=1, le=200_000)
    lifecycle: Lifecycle = "mixed"
    duplicates: float = Field(default=0.0, ge=0, le=1)
    shuffle: float = Field(default=0.0, ge=0, le=1)
    concurrency: int = Field(default=16, ge=1, le=1024)
    seed: int = 1
    id_prefix: str | None = Field(default=None, min_length=1, max_length=64)
    started_at: AwareDatetime | None = None
    urls: tuple[str, ...] | None = Field(default=None, min_length=1)
    path: str | None = Field(default=None, pattern="^/")
    token: str | None = None
    schedule: tuple[float, ...] | None = None
    timeout_s: float | None = Field(default=None, gt=0)
    stores: tuple[str, ...] | None = Field(default=None, min_length=1)
    positions: int | None = Field(default=None, ge=1, le=200)
    spelling: Literal["ours", "published"] = "ours"
    payments: bool = False
    trace: bool = False
    wait: bool = True
    detail: bool = True

    @field_validator("urls", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("schedule")
    @classmethod
    def _no_negative_interval(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and any(interval < 0 for interval in value):
            raise ValueError("intervals cannot be negative")
        return value


@dataclass(frozen=True, slots=True)
class Hook:
    """One hook as it will be sent. `again` and `again_body` describe its duplicate, if it has one."""

    event: Event
    at: datetime
    body: bytes
    again: DuplicateWhen | None = None
    again_body: bytes = b""

    @property
    def envelope(self) -> dict[str, Any]:
        """The body, read anew each time: tens of thousands of hooks are kept as bytes, not as objects."""
        read: dict[str, Any] = json.loads(self.body)
        return read


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """One order: its hooks in true order, and the order in which they go out (indices into `hooks`)."""

    external_id: str
    lifecycle: Lifecycle
    mode: SendingMode
    hooks: tuple[Hook, ...]
    sequence: tuple[int, ...]
    payment_id: str | None
    captured: int


_STATUS_AFTER: dict[Event, str | None] = {
    "created": "created",
    "changed": None,
    "paid": "paid",
    "received": "received",
    "delivered": "delivered",
    "cancelled": "cancelled",
}


def expected_outcome(hooks: tuple[Hook, ...]) -> dict[str, Any] | None:
    """What the order must be once every one of `hooks` (in true order) was accepted; None without `created`.

    `notices` are those due when the hooks arrive in true order: pickers and store hear of a cancellation only before
    the order was shipped. `total_minor` and `discount_total_minor` are the totals in minor units.
    """
    if not any(hook.event == "created" for hook in hooks):
        return None
    status = "created"
    shipped = closed = False
    positions: list[dict[str, Any]] = []
    totals: dict[str, str] = {}
    notices: list[str] = []
    for hook in hooks:
        status = _STATUS_AFTER[hook.event] or status
        if hook.event in ("created", "changed") or (hook.event == "cancelled" and not shipped):
            notices.append(hook.event)
        closed = closed or hook.event not in ("created", "changed")
        shipped = shipped or hook.event in ("received", "delivered")
        payload = hook.envelope["payload"]
        if "positions" in payload:
            positions, totals = payload["positions"], payload["total"]
    return {
        "status": status,
        "shipped": shipped,
        "closed_for_changes": closed,
        "positions": positions,
        "totals": totals,
        "total_minor": minor_units(totals["totalPrice"]),
        "discount_total_minor": minor_units(totals["discountTotalPrice"]),
        "notices": notices,
    }


def minor_units(amount: str) -> int:
    """Kopecks of a decimal string with two digits after the point."""
    roubles, _, kopecks = amount.partition(".")
    return int(roubles) * 100 + int(kopecks.ljust(2, "0")[:2])
