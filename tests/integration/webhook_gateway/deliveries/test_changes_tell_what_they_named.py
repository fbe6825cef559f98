"""Every change at the gateway: the messages that its rehearsal names are the ones that the notifier gets once it is carried out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from common.contracts.envelope import Envelope
from common.contracts.notices import notices_of
from common.ids import order_number
from common.messaging import topology
from sandbox.testing import running_sandbox
from tests.integration.webhook_gateway.conftest import Gateway, Start, bearer, hook_body, watched
from tests.support.told import unlike

NUMBER = order_number("sbermarket", "H1")
ENDANGERED = "/admin/v1/endangered-orders"
WHY = {"reason": "the shop called"}
FIRST = (
    "orders.order.created.v1 or orders.order.changed.v1 or orders.order.paid.v1 or orders.order.cancelled.v1 or nothing"
)
BASKET = {"positions": [{"id": "sku-1", "quantity": 1}], "customer": {"phone": "+79990001122"}}


def over(number: str) -> str:
    """The notice of a problem that ends."""
    return f"alerts.problem.resolved.v1 of {number}: who was told of it"


def follows(number: str, events: str = FIRST) -> list[str]:
    """The notices of what the orchestrator makes of a hook."""
    return [
        f"{events} of {number}: pickers and store",
        f"alerts.problem.raised.v1 or nothing of {number}: on call",
    ]


class People:
    """What people are told, beside what changes say."""

    def __init__(self, gateway: Gateway, alerts: Callable[[int], Awaitable[list[Envelope]]]) -> None:
        self.gateway, self.alerts = gateway, alerts
        self.seen = 0

    async def told(self) -> list[str]:
        """What the notifier was sent since it was asked last."""
        found = await self.alerts(0)
        news, self.seen = found[self.seen :], len(found)
        return notices_of([(event.type, event.encode()) for event in news])

    async def change(self, path: str, *, method: str = "POST", role: str = "operator", **body: Any) -> list[str]:
        """Rehearse a change and carry it out; return what both have named and people were told."""
        before, asked = await self.told(), {**WHY, **body}
        status, preview = await self.gateway.change(path, {**asked, "dry_run": True}, method=method, role=role)
        assert status in (200, 202), preview
        assert (before, await self.told()) == (before, [])
        plan = {"plan": preview["plan"]} if preview.get("plan") else {}
        status, done = await self.gateway.change(path, {**asked, **plan}, method=method, role=role)
        assert status in (200, 202), done
        named = notices(preview)
        assert notices(done) == named
        certain = sum(" or " not in line for line in named if not line.startswith("mail"))
        await self.alerts(self.seen + certain)
        assert unlike([line for line in named if not line.startswith("mail")], await self.told()) == [], path
        return named


def notices(answer: Any) -> list[str]:
    """What an answer names, or its items."""
    return answer["notices"] if "notices" in answer else [line for item in answer["items"] for line in item["notices"]]


@pytest.fixture
def alerts_of(amqp_url: str) -> Any:
    """Reads what the notifier gets."""
    return watched(amqp_url, topology.NOTIFIER_ALERTS)


async def test_hooks_that_people_send_on_tell_what_was_named(start: Start, alerts_of: Any) -> None:
    async with start() as gateway, alerts_of as alerts:
        people = People(gateway, alerts)
        payload = hook_body()["payload"]
        entered: dict[str, Any] = {"source": "sbermarket", "event_type": "order.created", "payload": payload}
        assert await people.change("/admin/v1/events", **entered) == follows(NUMBER)
        paid: dict[str, Any] = {
            "source": "sbermarket",
            "event_type": "order.paid",
            "payload": {"originalOrderId": "H1"},
        }
        of_paid = "orders.order.paid.v1 or orders.order.corrected.v1 or nothing"
        assert await people.change("/admin/v1/events", **paid) == follows(NUMBER, of_paid)
        late: dict[str, Any] = {**paid, "event_type": "order.received"}
        assert await people.change("/admin/v1/events", **late) == follows(
            NUMBER, "orders.order.corrected.v1 or nothing"
        )
        for name in ("H2", "H3", "H4", "H5"):
            assert (await gateway.send(hook_body(order=name, positions="none")))[0] == 200
        kept = {
            item["external_id"]: item["id"] for item in await gateway.deliveries(7) if item["outcome"] == "quarantined"
        }
        numbers = {name: order_number("sbermarket", name) for name in kept}
        await alerts(4)
        mended = await people.change(f"/admin/v1/deliveries/{kept['H2']}/replay", body=hook_body(order="H2"))
        assert mended == [over(numbers["H2"]), *follows(numbers["H2"])]
        assert await people.change(f"/admin/v1/deliveries/{kept['H3']}/dismiss") == [over(numbers["H3"])]
        many = [kept["H4"], kept["H5"]]
        dismissed = await people.change("/admin/v1/deliveries/dismiss", ids=many)
        assert sorted(dismissed) == sorted([over(numbers["H4"]), over(numbers["H5"])])
        first = next(item["id"] for item in await gateway.deliveries(8) if item["event"] == "order.created")
        assert await people.change("/admin/v1/deliveries/replay", ids=[first]) == follows(NUMBER)
        assert await people.change("/admin/v1/erasures", role="admin", order_number=NUMBER) == []


async def test_rescued_orders_tell_what_was_named(start: Start, alerts_of: Any) -> None:
    async with running_sandbox() as sandbox:
        mail = {"smtp_host": sandbox.smtp_host, "smtp_port": sandbox.smtp_port, "report_to": "arsen@shop.example"}
        async with start(**mail) as gateway, alerts_of as alerts:
            people = People(gateway, alerts)
            for name in ("W-1", "W-2", "W-3"):
                body = {**BASKET, "externalId": name, "positions": []}
                assert (await gateway.send(body, path="/api/v1/orders/", headers=bearer("website")))[0] == 422
            await alerts(3)
            page = await gateway.get(ENDANGERED)
            ids = {item["external_id"]: item["id"] for item in page["items"]}
            numbers = {name: order_number("website", name) for name in ids}
            one = f"{ENDANGERED}/{ids['W-1']}"
            # Nobody could call or write to this customer: the recorder says so when the order is sent.
            assert (
                await people.change(f"{one}/mend", body={"externalId": "W-1", "positions": BASKET["positions"]}) == []
            )
            assert await people.change(f"{one}/call", reached=True) == []
            number = numbers["W-1"]
            unreachable = f"alerts.problem.raised.v1 (website_order.unreachable) of {number}: on call"
            assert await people.change(f"{one}/resubmit") == [unreachable, *follows(number), over(number)]
            report = {"cause": "a basket in words only", "remedy": "the form takes it again"}
            written = f"mail of {number}: arsen@shop.example, copies to nobody"
            assert await people.change(f"{one}/report", **report) == [written]
            assert await people.change(f"{one}/close") == [over(number)]

            good = {**BASKET, "externalId": "W-2"}
            assert await people.change(f"{ENDANGERED}/{ids['W-2']}/mend", body=good) == []
            asked: dict[str, Any] = {"ids": [ids["W-2"]], "despite_duplicates": True}
            told = await people.change(f"{ENDANGERED}/resubmit", **asked)
            assert told == [*follows(numbers["W-2"]), over(numbers["W-2"])]
            written = f"mail of {numbers['W-3']}: arsen@shop.example, copies to nobody"
            assert await people.change(f"{ENDANGERED}/report", ids=[ids["W-3"]], **report) == [written]
            assert await people.change(f"{ENDANGERED}/close", ids=[ids["W-2"]]) == [over(numbers["W-2"])]
            assert await people.change(f"{ENDANGERED}/{ids['W-3']}/own-test") == [over(numbers["W-3"])]
