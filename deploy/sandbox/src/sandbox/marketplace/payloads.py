"""Makes orders from a seed: the same seed, prefix and start give the same bytes, however many are played at once."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sandbox.marketplace.catalogue import (
    CANCELLATIONS,
    COMMENTS,
    CUSTOMERS,
    PRODUCTS,
    REPLACEMENTS,
    STREETS,
    TARIFFS,
    ZONES,
)
from sandbox.marketplace.orders import (
    DuplicateWhen,
    Event,
    Hook,
    Lifecycle,
    OrderPlan,
    PlayOrder,
    SendingMode,
    minor_units,
)

MOSCOW = timezone(timedelta(hours=3))
_CENT = Decimal("0.01")
_PUBLISHED = {"changed": "updated", "cancelled": "canceled"}
_CANCELLED_SHARE = 0.3
_AT_ONCE_SHARE = 1 / 3
_TEXT_QUANTITY_SHARE = 0.1

_AGAIN: tuple[DuplicateWhen, ...] = ("same_time", "after", "late")

Position = dict[str, Any]


def plan_orders(order: PlayOrder, *, prefix: str, started_at: datetime, stores: tuple[str, ...]) -> Iterator[OrderPlan]:
    """The play's orders, one by one."""
    for index in range(order.orders):
        yield _Maker(order, prefix=prefix, started_at=started_at, stores=stores, index=index).make()


class _Maker:
    """Makes one order; its random numbers depend on nothing but its seed and index."""

    def __init__(
        self, order: PlayOrder, *, prefix: str, started_at: datetime, stores: tuple[str, ...], index: int
    ) -> None:
        self.order = order
        self.rng = random.Random(f"{order.seed}:{index}")
        self.stores = stores
        self.external_id = f"{prefix}-{index + 1:05d}"
        self.at = started_at.astimezone(MOSCOW).replace(microsecond=0)
        self.text_quantities = self.rng.random() < _TEXT_QUANTITY_SHARE

    def make(self) -> OrderPlan:
        lifecycle = self._lifecycle()
        payment_id = f"pay-{self.external_id}" if self.order.payments else None
        positions = self._basket()
        captured = 0
        hooks: list[Hook] = []
        for event in self._events(lifecycle):
            match event:
                case "created":
                    payload = self._created(positions, payment_id)
                case "changed":
                    positions = self._changed(positions)
                    payload = self._with_positions(positions)
                case "paid":
                    positions = self._final_prices(positions)
                    payload = self._with_positions(positions)
                case "cancelled":
                    slug, description = self.rng.choice(CANCELLATIONS)
                    payload = {
                        "originalOrderId": self.external_id,
                        "cancellation": {"slug": slug, "description": description},
                    }
                case _:
                    payload = {"originalOrderId": self.external_id}
            if "total" in payload:
                captured = minor_units(payload["total"]["discountTotalPrice"])
            hooks.append(self._hook(event, payload))
        mode, sequence = self._sending(len(hooks))
        return OrderPlan(
            external_id=self.external_id,
            lifecycle=lifecycle,
            mode=mode,
            hooks=tuple(self._with_duplicate(hook) for hook in hooks),
            sequence=sequence,
            payment_id=payment_id,
            captured=captured,
        )

    def _lifecycle(self) -> Lifecycle:
        if self.order.lifecycle != "mixed":
            return self.order.lifecycle
        return "cancelled" if self.rng.random() < _CANCELLED_SHARE else "full"

    def _events(self, lifecycle: Lifecycle) -> tuple[Event, ...]:
        match lifecycle:
            case "cancelled":
                return ("created", "changed", "cancelled") if self.rng.random() < 0.5 else ("created", "cancelled")
            case "all_six":
                return ("created", "changed", "paid", "received", "delivered", "cancelled")
            case _:
                return ("created", "changed", "paid", "received", "delivered")

    def _basket(self) -> list[Position]:
        wanted = self.order.positions or self.rng.randint(1, 5)
        chosen = [PRODUCTS[index % len(PRODUCTS)] for index in range(wanted)]
        if wanted <= len(PRODUCTS):
            chosen = self.rng.sample(PRODUCTS, wanted)
        return [self._position(product, suffix=index // len(PRODUCTS)) for index, product in enumerate(chosen)]

    def _position(self, product: tuple[str, str, str, str], *, suffix: int = 0) -> Position:
        sku, name, price, weight = product
        quantity = self.rng.randint(1, 4)
        discount = Decimal(price) * self.rng.choice((Decimal(1), Decimal(1), Decimal("0.9"), Decimal("0.85")))
        position = {
            "id": f"{sku}-{suffix}" if suffix else sku,
            "name": name,
            "originalQuantity": quantity,
            "quantity": quantity,
            "price": price,
            "discountPrice": _money(discount),
            "weight": weight,
        }
        return self._totalled(position)

    def _totalled(self, position: Position) -> Position:
        quantity = int(position["quantity"])
        shown: Any = str(quantity) if self.text_quantities else quantity
        return position | {
            "quantity": shown,
            "totalPrice": _money(Decimal(position["price"]) * quantity),
            "totalDiscountPrice": _money(Decimal(position["discountPrice"]) * quantity),
        }

    def _changed(self, positions: list[Position]) -> list[Position]:
        """One real change: a position less, a smaller or a bigger quantity, or a product more."""
        changed = [dict(position) for position in positions]
        at = self.rng.randrange(len(changed))
        quantity = int(changed[at]["quantity"])
        kinds = ["more", "add"] + (["less"] if quantity > 1 else []) + (["drop"] if len(changed) > 1 else [])
        match self.rng.choice(kinds):
            case "drop":
                del changed[at]
            case "less":
                changed[at] = self._totalled(changed[at] | {"quantity": quantity - 1})
            case "more":
                changed[at] = self._totalled(changed[at] | {"quantity": quantity + 1})
            case _:
                taken = {position["id"] for position in changed}
                free = [product for product in PRODUCTS if product[0] not in taken]
                product = self.rng.choice(free or list(PRODUCTS))
                changed.append(self._position(product, suffix=0 if free else len(changed)))
        return changed

    def _final_prices(self, positions: list[Position]) -> list[Position]:
        """Prices as finally paid: some are lower once weighed or with a late discount."""
        final = []
        for position in positions:
            factor = self.rng.choice((Decimal(1), Decimal(1), Decimal("0.97")))
            final.append(
                self._totalled(position | {"discountPrice": _money(Decimal(position["discountPrice"]) * factor)})
            )
        return final

    def _with_positions(self, positions: list[Position]) -> dict[str, Any]:
        return {"originalOrderId": self.external_id, "positions": positions, "total": _total(positions)}

    def _created(self, positions: list[Position], payment_id: str | None) -> dict[str, Any]:
        zone, city = self.rng.choice(ZONES)
        payment: dict[str, Any] = {"method": "card"}
        if payment_id is not None:
            payment["id"] = payment_id
        return {
            "originalOrderId": self.external_id,
            "storeID": self.rng.choice(self.stores),
            "comment": self.rng.choice(COMMENTS),
            "shipmentMethod": self.rng.choice(("by_courier", "by_courier", "pickup")),
            "replacementPolicy": self.rng.choice(REPLACEMENTS),
            "customer": {
                "name": self.rng.choice(CUSTOMERS),
                "phone": f"+7900{self.rng.randrange(10_000_000):07d}",
                "email": f"customer{self.rng.randrange(100_000)}@example.org",
            },
            "address": {
                "full_address": f"{city}, ул. {self.rng.choice(STREETS)}, д. {self.rng.randint(1, 99)},"
                f" кв. {self.rng.randint(1, 200)}"
            },
            "payment": payment,
            "zone": zone,
            "tariff": self.rng.choice(TARIFFS),
            "positions": positions,
            "total": _total(positions),
        }

    def _hook(self, event: Event, payload: dict[str, Any]) -> Hook:
        name = _PUBLISHED.get(event, event) if self.order.spelling == "published" else event
        envelope = {"event_type": f"order.{name}", "timestamp": self.at.isoformat(), "payload": payload}
        hook = Hook(event=event, at=self.at, body=_serialised(envelope))
        self.at += timedelta(seconds=self.rng.randint(3, 15))
        return hook

    def _with_duplicate(self, hook: Hook) -> Hook:
        if self.rng.random() >= self.order.duplicates:
            return hook
        when = self.rng.choice(_AGAIN)
        body = _reserialised(hook.envelope, self.rng) if self.rng.random() < 0.5 else hook.body
        return replace(hook, again=when, again_body=body)

    def _sending(self, count: int) -> tuple[SendingMode, tuple[int, ...]]:
        true_order = tuple(range(count))
        if self.rng.random() >= self.order.shuffle:
            return "in_order", true_order
        mixed = list(true_order)
        while tuple(mixed) == true_order:
            self.rng.shuffle(mixed)
        return ("at_once" if self.rng.random() < _AT_ONCE_SHARE else "shuffled"), tuple(mixed)


def _total(positions: list[Position]) -> dict[str, str]:
    return {
        "totalPrice": _money(sum((Decimal(position["totalPrice"]) for position in positions), Decimal(0))),
        "discountTotalPrice": _money(
            sum((Decimal(position["totalDiscountPrice"]) for position in positions), Decimal(0))
        ),
    }


def _money(amount: Decimal) -> str:
    return str(amount.quantize(_CENT, rounding=ROUND_HALF_UP))


def _serialised(envelope: dict[str, Any]) -> bytes:
    return json.dumps(envelope, ensure_ascii=False).encode()


def _reserialised(envelope: dict[str, Any], rng: random.Random) -> bytes:
    """The same JSON value in other bytes: keys in another order, other spacing, letters escaped."""
    style: dict[str, Any] = rng.choice(({"indent": 2}, {"separators": (",", ":")}, {"separators": (" , ", " : ")}))
    return json.dumps(_mixed_keys(envelope, rng), ensure_ascii=rng.random() < 0.5, **style).encode()


def _mixed_keys(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        names = list(value)
        rng.shuffle(names)
        return {name: _mixed_keys(value[name], rng) for name in names}
    if isinstance(value, list):
        return [_mixed_keys(item, rng) for item in value]
    return value
