"""Who may not order just now is seen and lifted; one customer is banned, the others behind the same proxy or shop's server are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.integration.webhook_gateway.conftest import Gateway, Start, bearer
from tests.support.servers import eventually

ORDERS = "/api/v1/orders/"
BANS = "/admin/v1/order-limits"
LIMITS = {"orders_per_phone": 1, "orders_per_address": 0, "orders_per_ip": 0}


def order(number: int = 1, **changes: Any) -> dict[str, Any]:
    """An order of a customer of their own."""
    return {
        "positions": [{"id": "sku-1", "quantity": 1, "price": "10.00"}],
        "customer": {"name": "Анна", "phone": f"+7999000{number:04}"},
        "address": {"full_address": f"Тверская, {number}"},
        **changes,
    }


async def send(gateway: Gateway, body: dict[str, Any], sender: str = "website", **headers: str) -> int:
    """Place an order; return the status."""
    status, _, _ = await gateway.send(body, path=ORDERS, headers={**bearer(sender), **headers})
    return status


async def bans(gateway: Gateway, count: int, *, role: str = "operator") -> list[dict[str, Any]]:
    """Wait for so many bans."""

    async def enough() -> list[list[dict[str, Any]]]:
        items: list[dict[str, Any]] = (await gateway.get(BANS, role=role))["items"]
        return [items] if len(items) == count else []

    return (await eventually(enough, what=f"{count} bans"))[0]


async def test_a_ban_is_seen_masked_for_viewers_and_lifted_at_every_replica(start: Start) -> None:
    async with start("gw-1", **LIMITS) as one, start("gw-2", **LIMITS) as two:
        assert [await send(gateway, order()) for gateway in (one, two, one, one)] == [201, 429, 429, 429]
        [ban] = await bans(two, 1)
        assert (ban["kind"], ban["value"], ban["source"]) == ("phone", "+79990000001", "website")
        assert ban["since"] < ban["until"]

        async def all_counted() -> bool:
            return bool((await bans(two, 1))[0]["refused"] == 3)

        await eventually(all_counted, what="three refusals")
        assert [item["value"] for item in await bans(two, 1, role="viewer")] == ["***01"]
        assert (await two.get(BANS + "?phone=89990000001"))["items"][0]["id"] == ban["id"]
        assert (await two.get(BANS + "?phone=89990000002"))["items"] == []
        assert await two.get(f"{BANS}/{ban['id']}") == (await two.get(BANS + "?phone=89990000001"))["items"][0]

        assert (
            await two.change(BANS, {"reason": "проба", "phone": "8 999 000 00 01"}, role="viewer", method="DELETE")
        )[0] == 403
        assert (await two.change(BANS, {"reason": "проба"}, method="DELETE"))[0] == 422
        assert (await two.change(BANS, {"reason": "проба", "phone": "+79990000009"}, method="DELETE"))[0] == 404
        asked = {"reason": "покупатель настоящий", "id": ban["id"], "dry_run": True}
        assert (await two.change(BANS, asked, method="DELETE"))[1]["lifted"]  # what would be
        assert await send(two, order()) == 429
        lifted = {"reason": "покупатель настоящий", "phone": "8 999 000 00 01"}
        status, done = await two.change(BANS, lifted, method="DELETE")
        assert (status, done["lifted"], done["was_banned"], done["id"]) == (200, True, True, ban["id"])
        assert await bans(one, 0) == []

        async def passes() -> bool:
            return await send(one, order()) == 201

        await eventually(passes, what="the other replica to know")
        [entry] = (await two.get("/admin/v1/audit?action=order_limit.lift"))["items"]
        assert (entry["reason"], entry["target"]) == ("покупатель настоящий", f"order_limit:{ban['id']}")
        assert "9990000001" not in str(entry)


async def test_behind_a_terminator_one_customer_is_banned_and_the_others_are_not(start: Start) -> None:
    limits = {**LIMITS, "orders_per_phone": 0, "orders_per_ip": 2, "trusted_proxies": ("127.0.0.1",)}
    async with start(**limits) as gateway:
        flood = [await send(gateway, order(n), **{"X-Forwarded-For": "198.51.100.7"}) for n in range(4)]
        others = [await send(gateway, order(n), **{"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(4)]
        assert (flood, others) == ([201, 201, 429, 429], [201] * 4)
        [ban] = await bans(gateway, 1)
        assert (ban["kind"], ban["value"]) == ("ip", "198.51.100.7")
        status, _ = await gateway.change(BANS, {"reason": "офис", "ip": "198.51.100.7"}, method="DELETE")
        assert (status, await send(gateway, order(9), **{"X-Forwarded-For": "198.51.100.7"})) == (200, 201)


async def test_a_shops_server_is_limited_by_its_customers_or_by_the_addresses_it_forwards(
    start: Start, tmp_path: Path
) -> None:
    websites = tmp_path / "websites.json"
    site = {
        "limit_by": ["phone", "address", "ip"],
        "tokens": {"shop_server": {"limit_by": ["phone"]}, "website": {"forwarders": ["192.0.2.80"]}},
    }
    websites.write_text(json.dumps({"website": site}))
    limits = {**LIMITS, "orders_per_ip": 2, "trusted_proxies": ("127.0.0.1",), "websites_file": websites}
    async with start(**limits) as gateway:
        # The shop's server posts for all its customers: only they are counted, not its address.
        server = {"X-Forwarded-For": "192.0.2.81"}
        assert [await send(gateway, order(n), "shop_server", **server) for n in range(1, 5)] == [201] * 4
        assert await send(gateway, order(1), "shop_server", **server) == 429
        assert await send(gateway, order(5), "shop_server", **server) == 201
        # Another one forwards its customers' addresses and is believed.
        seen = [await send(gateway, order(n), **{"X-Forwarded-For": "198.51.100.7, 192.0.2.80"}) for n in range(11, 14)]
        others = [
            await send(gateway, order(n), **{"X-Forwarded-For": f"203.0.113.{n}, 192.0.2.80"}) for n in range(14, 17)
        ]
        assert (seen, others) == ([201, 201, 429], [201] * 3)
        # Whoever else claims so is not.
        claimed = [
            await send(gateway, order(n), **{"X-Forwarded-For": f"203.0.113.{n}, 192.0.2.99"}) for n in range(21, 24)
        ]
        assert claimed == [201, 201, 429]
