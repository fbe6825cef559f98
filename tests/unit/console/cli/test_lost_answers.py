"""Answers that are lost: what may have been done is named, kept as a plan, and finished once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.console.cli.conftest import Call, Ordersctl, Services


def test_when_the_answer_is_lost_the_plan_is_kept_and_finishes_once(services: Services, ordersctl: Ordersctl) -> None:
    done: dict[str, str] = {}

    def end(call: Call, name: str) -> tuple[int, Any]:
        if call.key is not None:
            assert done.setdefault(name, call.key) == call.key
        return 200, {}

    for name in ("1", "2"):
        services.on(f"DELETE /admin/v1/silences/{name}", lambda call, name=name: end(call, name))
    services.drop = "DELETE /admin/v1/silences/2"
    lost = ordersctl("silence", "end", "1", "2", "-r", "it is over", "-y")
    assert (lost.code, set(done)) == (7, {"1", "2"})
    services.drop = None
    [_, file] = lost.remarks.split("ordersctl apply ", 1)
    finished = ordersctl("apply", file.split()[0], "-y", "-o", "json")
    assert (finished.code, [item["outcome"] for item in finished.json["items"]]) == (0, ["end", "end"])
    assert len({call.key for call in services.calls if call.key}) == 2


@pytest.mark.parametrize(("statuses", "code"), [((200, 502, 200), 7), ((502, 502, 504), 6), ((504, 504, 504), 4)])
def test_one_whose_answer_is_lost_is_named_and_the_others_are_done(
    services: Services, ordersctl: Ordersctl, statuses: tuple[int, ...], code: int
) -> None:
    names, done = ("1", "2", "3"), set[str]()
    failing = dict(zip(names, statuses, strict=True))

    def end(call: Call, name: str) -> tuple[int, Any]:
        if call.key is None:
            return 200, {}
        done.add(name)  # also where the answer is lost behind it
        return failing[name], {"code": "proxy", "detail": "it failed"} if failing[name] >= 500 else {}

    for name in names:
        services.on(f"DELETE /admin/v1/silences/{name}", lambda call, name=name: end(call, name))
    ended = ordersctl("silence", "end", *names, "-r", "it is over", "-y", "-o", "json", "--wait", "--timeout", "0")
    wanted = ["end" if status < 500 else "unknown" for status in statuses]
    assert (ended.code, [item["outcome"] for item in ended.json["items"]]) == (code, wanted)
    assert done == set(names)
    lost = [name for name, status in failing.items() if status >= 500]
    assert f"not known whether it was done: {', '.join(lost)}" in ended.remarks
    failing.update(dict.fromkeys(names, 200))
    file = ended.remarks.split("ordersctl apply ", 1)[1].split()[0]
    finished = ordersctl("apply", file, "-y", "-o", "json")
    assert (finished.code, [item["outcome"] for item in finished.json["items"]]) == (0, ["end", "end", "end"])
    keys = [call.key for call in services.calls if call.key]
    assert (len(keys), len(set(keys))) == (6, 3)
