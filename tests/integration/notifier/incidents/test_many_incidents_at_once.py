"""People take and close many incidents at once, by ids or by a filter, with a plan."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from tests.integration.notifier.factories import ONE_CHAT, Kit, MakeKit, a_problem, many
from tests.support.servers import eventually

PATH = "/admin/v1/incidents"
WHY = {"reason": "one cause, found; call +79161234567"}


async def reported(make_kit: MakeKit, count: int) -> Kit:
    kit = await make_kit(routes=ONE_CHAT)
    await kit.publish(*many(count), a_problem("another", kind="stock", order_number=None))

    async def all_there() -> bool:
        return bool((await kit.call("GET", f"{PATH}?count=true"))[1]["count"] == count + 1)

    await eventually(all_there, what="the incidents")
    return kit


def tally(answer: Any) -> Counter[str]:
    return Counter(item["outcome"] for item in answer["items"])


async def test_a_plan_closes_what_it_showed_once_and_leaves_alone_what_others_took(make_kit: MakeKit) -> None:
    kit = await reported(make_kit, 40)
    wanted = {"filter": {"kind": "problem.order_conflict"}}
    status, plan = await kit.call("POST", PATH + "/resolve", body={**WHY, **wanted, "dry_run": True})
    assert (status, plan["matched"], tally(plan)) == (200, 40, {"resolved": 40})
    ids = [item["id"] for item in plan["items"]]
    await kit.publish(a_problem("order_conflict:39", order_number=None))  # it is reported again: that changes nothing

    status, taken = await kit.call("POST", PATH + "/ack", body={**WHY, "ids": [*ids[:20], ids[0], 10**6]})
    assert (status, tally(taken)) == (200, {"acknowledged": 20, "not_found": 1})
    answers = await asyncio.gather(
        *(kit.call("POST", PATH + "/resolve", body={**WHY, "plan": plan["plan"]}) for _ in range(2))
    )
    assert [(status, tally(answer)) for status, answer in answers] == [(200, {"changed_since": 20, "resolved": 20})] * 2
    assert sorted(answer["already_applied"] for _, answer in answers) == [False, True]
    status, groups = await kit.call("GET", "/admin/v1/incident-groups?by=state&kind=problem.order_conflict")
    assert (status, groups["count"], [(each["value"], each["count"]) for each in groups["items"]]) == (
        200,
        20,
        [("acknowledged", 20)],
    )
    _, groups = await kit.call("GET", "/admin/v1/incident-groups")
    assert [(each["value"], each["count"], each["open"], each["critical"]) for each in groups["items"]] == [
        ("problem.order_conflict", 20, 0, 0),
        ("problem.stock", 1, 1, 0),
    ]
    for wrong, status in (("by=details", 400), ("colour=red", 422), ("by=kind&state=lost", 400)):
        assert (await kit.call("GET", f"/admin/v1/incident-groups?{wrong}"))[0] == status
    counts = {
        state: (await kit.call("GET", f"{PATH}?state={state}&count=true&limit=1"))[1]["count"]
        for state in ("open", "acknowledged", "resolved")
    }
    assert counts == {"open": 1, "acknowledged": 20, "resolved": 20}
    _, audit = await kit.call("GET", "/admin/v1/audit?limit=200")
    assert Counter(item["action"] for item in audit["items"]) == {"incident.ack": 20, "incident.resolve": 20}
    assert not any("9161234567" in item["reason"] for item in audit["items"]), "no customer's phone in the audit log"


async def test_each_incident_of_many_is_judged_alone(make_kit: MakeKit) -> None:
    kit = await reported(make_kit, 2)
    await kit.call("POST", f"{PATH}/1/resolve", body=WHY)
    status, done = await kit.call("POST", PATH + "/ack", body={**WHY, "ids": [1, 2]})
    assert (status, [(item["outcome"], item["code"]) for item in done["items"]]) == (
        200,
        [("refused", "conflict"), ("acknowledged", None)],
    )
    wrongs: list[Any] = [
        {},
        {"filter": {}},
        {"filter": {"colour": "red"}},
        {"filter": {"state": "lost"}},
        {"ids": []},
        {"ids": [0]},
        {"ids": ["x"]},
        {"ids": list(range(1, 1002))},
        {"ids": [2], "filter": {"kind": "x"}},
        {"filter": {"kind": "x"}, "limit": 0},
        {"filter": {"kind": "x\x00"}},
    ]
    for wrong in wrongs:
        assert (await kit.call("POST", PATH + "/resolve", body={**WHY, **wrong}))[0] == 422, wrong
    assert (await kit.call("POST", PATH + "/resolve", role="viewer", body={**WHY, "ids": [2]}))[0] == 403
    _, plan = await kit.call("POST", PATH + "/resolve", body={**WHY, "ids": [2], "dry_run": True})
    status, problem = await kit.call("POST", PATH + "/ack", body={**WHY, "plan": plan["plan"]})
    assert (status, problem["code"]) == (409, "plan_unknown")
