"""Endangered orders from the refusal to the report, on real servers and the sandbox's mail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import SecretStr

from common.contracts import intake
from common.contracts.alerts import ProblemRaisedV1, ProblemResolvedV1
from common.contracts.envelope import parse
from common.contracts.intake import IntakeMessage
from common.ids import derived_id, order_number
from common.messaging import topology
from sandbox.testing import RunningSandbox, running_sandbox
from tests.integration.webhook_gateway.conftest import Gateway, Start, bearer, watched
from tests.support.servers import eventually, proxied

Arrived = Callable[[int], Awaitable[list[IntakeMessage]]]
ORDERS = "/api/v1/orders/"
PATH = "/admin/v1/endangered-orders"
PHONES = {401: "+79990000401", 422: "+79990000422", 429: "+79990000429", 503: "+79990000503"}
REPORT = {
    "reason": "инцидент разобран",
    "cause": "мы обновляли приём заказов и не предусмотрели, что этаж бывает цокольным",
    "remedy": "форма снова принимает такие этажи, заказ восстановлен",
}


def order(status: int, **changes: Any) -> dict[str, Any]:
    """An order that is going to be refused like that."""
    return {
        "externalId": f"W-{status}",
        "positions": [{"id": f"sku-{status}", "name": "Мёд", "quantity": 1, "price": "10.00"}],
        "customer": {"name": f"Анна {status}", "phone": PHONES[status], "email": f"a{status}@customer.example"},
        "address": {"full_address": f"Тверская {status}"},
        **changes,
    }


def mailed(sandbox: RunningSandbox, **changes: Any) -> dict[str, Any]:
    """Settings of a gateway whose reports go to the sandbox."""
    return {
        "smtp_host": sandbox.smtp_host,
        "smtp_port": sandbox.smtp_port,
        "mail_from": "Suite <suite@shop.example>",
        "report_to": "arsen@shop.example",
        "report_copies": ("developers@shop.example", "dev2@shop.example"),
        "report_retry": 0.05,
        "public_url": "https://gw.example",
        **changes,
    }


async def endangered(gateway: Gateway, count: int, query: str = "") -> dict[int, dict[str, Any]]:
    """Wait for so many endangered orders; return them by status."""

    async def enough() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await gateway.get(f"{PATH}?{query}", role="operator"))["items"]
        return items if len(items) == count else []

    return {item["status"]: item for item in await eventually(enough, what=f"{count} endangered orders")}


async def one(gateway: Gateway, endangered_id: str) -> dict[str, Any]:
    """An endangered order as it is now."""
    [item] = (await gateway.get(f"{PATH}?id={endangered_id}", role="operator"))["items"]
    found: dict[str, Any] = item
    return found


async def test_refused_orders_are_mended_become_real_and_are_reported(
    start: Start, arrived: Arrived, amqp_url: str
) -> None:
    async with running_sandbox() as sandbox, proxied(amqp_url) as (proxy, address):
        settings = mailed(sandbox, amqp_url=SecretStr(address), orders_per_phone=1, spool_limit_bytes=1024**2)
        async with start(**settings) as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
            website = bearer("website")
            assert (await gateway.send(order(401), path=ORDERS, headers=bearer("wrong")))[0] == 401
            broken = order(422, positions=[{"id": "sku-422", "name": "Мёд", "quantity": "many"}])
            assert (await gateway.send(broken, path=ORDERS, headers=website))[0] == 422
            assert (await gateway.send(order(429, externalId="W-before"), path=ORDERS, headers=website))[0] == 201
            status, _, headers = await gateway.send(order(429), path=ORDERS, headers=website)
            assert (status, int(headers["Retry-After"]) > 0) == (429, True)
            proxy.refuse()
            large = order(503, comment="x" * 900_000)  # more than this spool may hold
            status, problem, _ = await gateway.send(large, path=ORDERS, headers=website)
            assert (status, problem["code"]) == (503, "no_lane")
            # Neither broker nor spool: it is in the database before the answer.
            kept = await endangered(gateway, 1, "category=back_end")
            proxy.heal()

            kept = await endangered(gateway, 4)
            assert {status: (item["category"], item["state"], item["origin"]) for status, item in kept.items()} == {
                401: ("front_end", "new", "server"),
                422: ("front_end", "new", "server"),
                429: ("banned", "new", "server"),
                503: ("back_end", "new", "server"),
            }
            for status, item in kept.items():
                assert item["customer"] == order(status)["customer"]
                assert item["address"] == f"Тверская {status}"
                assert [position["id"] for position in item["basket"]] == [f"sku-{status}"]
                assert item["answer"]["status"] == status
                assert json.loads(item["body"])["externalId"] == f"W-{status}"

            raised = [parse(event, ProblemRaisedV1) for event in await alerts(4)]
            of_orders = [problem for problem in raised if problem.kind == "website_order.endangered"]
            assert {problem.details["status"] for problem in of_orders} == {"422", "429", "503"}
            assert {problem.link for problem in of_orders} == {
                f"/e/{item['id']}" for status, item in kept.items() if status != 401
            }
            assert [problem.severity for problem in raised if problem.kind == "website_order.anonymous"] == ["warning"]
            for phone in PHONES.values():
                assert phone[1:] not in str(raised)
            assert "Анна 4" not in str(raised)
            assert "Тверская" not in str(raised)

            one_of = f"{PATH}/{kept[422]['id']}"
            whole = await gateway.get(one_of, role="operator")
            assert [(fault["field"], fault["code"]) for fault in whole["faults"]] == [
                ("positions.0.quantity", "not_a_number")
            ]
            [twin] = (await gateway.get(f"{PATH}/{kept[429]['id']}", role="operator"))["duplicates"]
            assert (twin["number"], twin["same"]) == (order_number("website", "W-before"), ["phone", "email", "basket"])
            for reached in (False, True):
                said = {"reason": "дозвонились со второго раза", "reached": reached}
                assert (await gateway.change(f"{one_of}/call", said, **{"Idempotency-Key": f"call-{reached}"}))[
                    0
                ] == 200
            called = await gateway.get(one_of, role="operator")
            assert (called["called_by"], called["reached"], called["state"]) == ("operator", True, "new")

            for status, item in kept.items():
                body = None if status in {401, 429} else order(status)
                wanted = {"reason": "спасаем заказ", "body": body, "despite_duplicates": True}
                answer = await gateway.change(
                    f"{PATH}/{item['id']}/resubmit", wanted, **{"Idempotency-Key": item["id"]}
                )
                assert answer == await gateway.change(
                    f"{PATH}/{item['id']}/resubmit", wanted, **{"Idempotency-Key": item["id"]}
                )
                assert (answer[0], answer[1]["number"]) == (200, order_number("website", f"W-{status}"))
                assert (await gateway.change(f"{PATH}/{item['id']}/resubmit", wanted))[0] == 409
            of_order = await gateway.get(f"/admin/v1/audit?order={order_number('website', 'W-422')}")
            assert [entry["action"].rpartition(".")[2] for entry in of_order["items"]] == ["resubmit", "call", "call"]
            hooks = {hook.external_id: hook for hook in await arrived(5)}
            assert set(hooks) == {"W-before", "W-401", "W-422", "W-429", "W-503"}
            assert {hook.type for hook in hooks.values()} == {intake.HOOK_RECEIVED}

            for item in kept.values():
                status_code, written = await gateway.change(f"{PATH}/{item['id']}/report", REPORT)
                assert (status_code, written["state"], written["recipient"]) == (202, "waiting", "arsen@shop.example")

            async def all_reported() -> bool:
                items = (await gateway.get(PATH))["items"]
                return [item["state"] for item in items] == ["reported"] * 4

            await eventually(all_reported, what="four reports")
            mails = {mail["request"]["subject"][-3:]: mail["request"] for mail in await sandbox.log("mail")}
            assert len(await sandbox.log("mail")) == 4
            for status in PHONES:
                mail = mails[str(status)]
                assert mail["to"] == ["arsen@shop.example", "developers@shop.example", "dev2@shop.example"]
                customer = order(status)["customer"]
                for said in (
                    REPORT["cause"],
                    REPORT["remedy"],
                    *customer.values(),
                    f"Тверская {status}",
                    f"sku-{status}",
                ):
                    assert said in mail["text"]
                assert order_number("website", f"W-{status}") in mail["text"]
                assert customer["name"] not in mail["subject"]


async def test_a_report_is_drafted_completed_sent_once_and_kept(start: Start) -> None:
    async with running_sandbox() as sandbox, start(**mailed(sandbox)) as gateway:
        await gateway.send(order(422, positions=[]), path=ORDERS, headers=bearer("website"))
        [item] = (await endangered(gateway, 1)).values()
        path = f"{PATH}/{item['id']}/report"
        file = await gateway.get(path, role="operator")
        assert (file["reports"], file["draft"]["recipient"]) == ([], "arsen@shop.example")
        assert "‹заполнить: причина" in file["draft"]["text"]
        assert "Телефон: +79990000422" in file["draft"]["text"]

        assert (await gateway.change(path, {"reason": "разобран", "cause": "схема", "remedy": "починили"}))[0] == 422
        assert (await gateway.change(path, REPORT, role="viewer"))[0] == 403
        status, dry = await gateway.change(path, {**REPORT, "dry_run": True})
        assert (status, dry["state"], dry["id"]) == (202, "draft", None)
        assert (await gateway.get(path, role="operator"))["reports"] == []

        # The server defers, then hangs up after the mail was taken: tried again, recognisable as the same mail.
        await sandbox.fault("mail", mode="lost_response", count=1, delay_s=0)
        await sandbox.fault("mail", mode="error", count=1)
        first = await gateway.change(path, REPORT, **{"Idempotency-Key": "r-1"})
        again = await gateway.change(path, REPORT, **{"Idempotency-Key": "r-1"})
        assert first == again
        assert (await gateway.change(path, REPORT))[0] == 409

        async def sent() -> dict[str, Any]:
            [report] = (await gateway.get(path, role="operator"))["reports"]
            found: dict[str, Any] = report
            return found if found["state"] == "sent" else {}

        report = await eventually(sent, what="a sent report")
        log = await sandbox.log("mail")
        assert [entry["effect"] for entry in log] == [False, True, True]
        assert {entry["request"]["message_id"] for entry in log} == {report["message_id"]}
        assert {entry["request"]["headers"]["date"] for entry in log} == {log[0]["request"]["headers"]["date"]}
        assert (report["attempts"], report["created_by"], report["copies"]) == (
            3,
            "operator",
            ["developers@shop.example", "dev2@shop.example"],
        )
        assert report["text"].strip() == log[-1]["request"]["text"].strip()
        assert (await one(gateway, item["id"]))["state"] == "reported"
        assert await gateway.metric('gateway_endangered_reports_total{outcome="sent"}') == 1

        assert (await gateway.change(f"{PATH}/{item['id']}/close", {"reason": "всё сделано"}))[0] == 200
        assert (await gateway.change(f"{PATH}/{item['id']}/close", {"reason": "ещё раз"}))[0] == 409
        audit = (await gateway.get("/admin/v1/audit"))["items"]
        audit = [entry for entry in audit if entry["action"] not in {"customer_data.read", "call.refused"}]
        assert [(entry["action"], entry["before"]["state"]) for entry in audit] == [
            ("endangered_order.close", "reported"),
            ("endangered_order.report", "new"),
        ]
        assert "Анна" not in str(audit)


async def test_a_refused_report_alerts_and_a_person_may_write_another(start: Start, amqp_url: str) -> None:
    async with (
        running_sandbox() as sandbox,
        start(**mailed(sandbox)) as gateway,
        watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts,
    ):
        await gateway.send(order(422, positions=[]), path=ORDERS, headers=bearer("website"))
        [item] = (await endangered(gateway, 1)).values()
        path = f"{PATH}/{item['id']}/report"
        await sandbox.fault("mail", mode="declined", count=1)
        assert (await gateway.change(path, REPORT))[0] == 202
        raised = [parse(event, ProblemRaisedV1).kind for event in await alerts(2)]
        assert sorted(raised) == ["endangered_report.failed", "website_order.endangered"]
        assert (await one(gateway, item["id"]))["state"] == "new"
        assert (await gateway.change(path, REPORT))[0] == 202

        async def reported() -> bool:
            return bool((await one(gateway, item["id"]))["state"] == "reported")

        await eventually(reported, what="the second report")
        assert [report["state"] for report in (await gateway.get(path, role="operator"))["reports"]] == [
            "sent",
            "failed",
        ]
        [problem] = [
            parse(event, ProblemRaisedV1)
            for event in await alerts(2)
            if parse(event, ProblemRaisedV1).kind == "endangered_report.failed"
        ]
        assert parse((await alerts(3))[2], ProblemResolvedV1).fingerprint == problem.fingerprint


async def test_the_problem_of_an_unsent_report_ends_with_its_last_order(start: Start, amqp_url: str) -> None:
    async with (
        running_sandbox() as sandbox,
        start(**mailed(sandbox)) as gateway,
        watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts,
    ):
        for name in ("W-1", "W-2"):
            await gateway.send(order(422, positions=[], externalId=name), path=ORDERS, headers=bearer("website"))

        async def both() -> list[Any]:
            items: list[Any] = (await gateway.get(PATH))["items"]
            return items if len(items) == 2 else []

        first, second = [item["id"] for item in await eventually(both, what="two endangered orders")]
        await sandbox.fault("mail", mode="declined", count=1)
        asked = {**REPORT, "ids": [first, second]}
        _, plan = await gateway.change(f"{PATH}/report", {**asked, "dry_run": True})
        assert (await gateway.change(f"{PATH}/report", {**asked, "plan": plan["plan"]}))[0] == 200
        [failed] = [event for event in await alerts(3) if b"endangered_report.failed" in event.encode()]
        for order_id in (first, second):
            assert (await gateway.change(f"{PATH}/{order_id}/close", {"reason": "разобрано без письма"}))[0] == 200
        ends = [parse(event, ProblemResolvedV1).fingerprint for event in (await alerts(6))[3:]]
        assert ends == [
            derived_id("endangered", first),
            parse(failed, ProblemRaisedV1).fingerprint,
            derived_id("endangered", second),
        ]


async def test_a_gateway_that_was_killed_while_it_sent_leaves_the_report_to_another(
    start: Start, database_for: Callable[[str], Awaitable[str]]
) -> None:
    async with running_sandbox() as sandbox:
        dsn = SecretStr(await database_for("webhook_gateway"))
        async with start("gw-1", postgres_dsn=dsn, **mailed(sandbox)) as gateway:
            await gateway.send(order(422, positions=[]), path=ORDERS, headers=bearer("website"))
            [item] = (await endangered(gateway, 1)).values()
            await sandbox.fault("mail", mode="error")
            assert (await gateway.change(f"{PATH}/{item['id']}/report", REPORT))[0] == 202
            await eventually(lambda: sandbox.log("mail"), what="a try")
        await sandbox.heal("mail")
        async with start("gw-2", postgres_dsn=dsn, **mailed(sandbox)) as gateway:

            async def reported() -> bool:
                return bool((await one(gateway, item["id"]))["state"] == "reported")

            await eventually(reported, what="the report")
        log = await sandbox.log("mail")
        assert [entry["effect"] for entry in log].count(True) == 1
        assert len({entry["request"]["message_id"] for entry in log}) == 1


async def test_without_a_mail_server_a_report_is_drafted_and_not_promised(start: Start) -> None:
    async with start() as gateway:
        await gateway.send(order(422, positions=[]), path=ORDERS, headers=bearer("website"))
        [item] = (await endangered(gateway, 1)).values()
        status, problem = await gateway.change(f"{PATH}/{item['id']}/report", REPORT)
        assert (status, problem["code"]) == (409, "conflict")
        assert (await gateway.get(f"{PATH}/{item['id']}/report"))["draft"]["recipient"] is None


async def test_a_mended_body_is_kept_beside_the_original_and_resubmitted_later(start: Start, arrived: Arrived) -> None:
    async with start() as gateway:
        broken = order(422, positions=[{"id": "sku-1", "quantity": "many"}])
        await gateway.send(broken, path=ORDERS, headers=bearer("website"))
        [item] = (await endangered(gateway, 1, "state=open")).values()
        path = f"{PATH}/{item['id']}"
        assert (await gateway.change(path + "/mend", {"reason": "число словом", "body": broken}))[0] == 422
        mended = order(422, positions=[{"id": "sku-422", "name": "Мёд", "quantity": 2, "price": 9900}])
        honey = {"id": "sku-422", "name": "Мёд", "quantity": "2", "price": 990000, "amount": 1980000}
        understood = {"goods": [honey], "total": 1980000, "currency": "RUB"}
        for act in ("mend", "resubmit"):
            status, said = await gateway.change(f"{path}/{act}", {"reason": "проба", "body": mended, "dry_run": True})
            assert (status, {name: said[name] for name in understood}) == (200, understood)
        assert (await one(gateway, item["id"]))["state"] == "new"
        seen = {"reason": "число словом", "expected_version": item["version"]}
        done = {"id": item["id"], "state": "mended", "outcome": None, "dry_run": False, "notices": [], **understood}
        assert await gateway.change(path + "/mend", {**seen, "body": mended}) == (200, done)
        stale = {**seen, "body": order(422, comment="второй")}
        assert (await gateway.change(path + "/mend", stale))[1]["code"] == "changed_since"
        now = await one(gateway, item["id"])
        assert (json.loads(now["body"]), json.loads(now["mended"]), now["state"]) == (broken, mended, "mended")
        assert [each["name"] for each in now["basket"]] == ["Мёд"]
        file = await gateway.get(path + "/report", role="operator")
        assert "— Мёд (sku-422): 2 шт. по 9900" in file["draft"]["text"]
        bulk = {"reason": "проба", "ids": [item["id"]], "dry_run": True}
        [planned] = (await gateway.change(f"{PATH}/resubmit", bulk))[1]["items"]
        assert {name: planned[name] for name in understood} == understood
        for dry_run in (True, False):
            assert (await gateway.change(path + "/resubmit", {**stale, "dry_run": dry_run}))[0] == 409
        status, done = await gateway.change(path + "/resubmit", {"reason": "исправлено"})
        assert (status, done["number"], done["state"]) == (200, order_number("website", "W-422"), "resubmitted")
        [hook] = await arrived(1)
        assert json.loads(hook.body) == mended
        assert (await gateway.get(f"{PATH}?state=open"))["items"] == []


async def test_of_two_who_mend_and_resubmit_at_once_one_is_told_to_look_again(start: Start, arrived: Arrived) -> None:
    async with start() as gateway:
        await gateway.send(order(422, positions=[]), path=ORDERS, headers=bearer("website"))
        [item] = (await endangered(gateway, 1)).values()
        path = f"{PATH}/{item['id']}/resubmit"
        bodies = [order(422, comment=comment) for comment in ("первый", "второй")]
        seen = {"reason": "исправлено", "expected_version": item["version"]}
        answers = await asyncio.gather(*(gateway.change(path, {**seen, "body": body}) for body in bodies))
        assert sorted(status for status, _ in answers) == [200, 409]
        [code] = [said["code"] for status, said in answers if status == 409]
        assert code == "changed_since"
        [hook] = await arrived(1)
        won = next(body for body, (status, _) in zip(bodies, answers, strict=True) if status == 200)
        assert json.loads(hook.body) == won
        assert json.loads((await one(gateway, item["id"]))["mended"]) == won


async def test_an_order_that_the_website_sends_again_is_endangered_no_more(
    start: Start, arrived: Arrived, amqp_url: str
) -> None:
    async with start() as gateway, watched(amqp_url, topology.NOTIFIER_ALERTS) as alerts:
        assert (await gateway.send(order(422, positions=[]), path=ORDERS, headers=bearer("website")))[0] == 422
        [item] = (await endangered(gateway, 1)).values()
        assert (await gateway.send(order(422), path=ORDERS, headers=bearer("website")))[0] == 201

        async def settled() -> dict[str, Any]:
            now = await one(gateway, item["id"])
            return now if now["state"] == "resubmitted" else {}

        now = await eventually(settled, what="a settled order")
        assert (now["number"], now["arrived_at"] is not None) == (order_number("website", "W-422"), True)
        assert (await gateway.change(f"{PATH}/{item['id']}/resubmit", {"reason": "поздно"}))[0] == 409
        events = await alerts(2)
        assert parse(events[1], ProblemResolvedV1).fingerprint == derived_id("endangered", item["id"])
        await arrived(1)
