"""What a terminal adds to ``ordersctl`` on the running suite: colours, questions, Ctrl-C, what is live, Tab, narrow windows, exit codes."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import sys
from pathlib import Path

import pytest

from suite_local.ports import free_port
from tests.e2e.trouble import ORCHESTRATOR, Trouble
from tests.support.real_terminal import CTRL_C, CTRL_D, ENTER, TAB, RealTerminal
from tests.support.servers import eventually
from tests.support.suite_client import Client

_KILL_LINE = "\x15"
_RED = re.compile(r"\x1b\[[0-9;]*\b41m")


@pytest.fixture
def production(client: Client, tmp_path: Path) -> str:
    """A profile of this suite that calls itself production; its name."""
    services = {name: each["url"] for name, each in client.suite.description["services"].items() if name != "console"}
    inline = ", ".join(f'{name} = "{url}"' for name, url in services.items())
    (tmp_path / "token").write_text(client.suite.token("operator"), encoding="utf-8")
    (tmp_path / "config.toml").write_text(
        f"""
        [profiles.shop]
        services = {{ {inline} }}
        production = true
        token = {{ file = "{tmp_path / "token"}" }}
        [profiles.nowhere]
        url = "http://127.0.0.1:{free_port()}"
        token = {{ file = "{tmp_path / "token"}" }}
        [profiles.stranger]
        services = {{ {inline} }}
        token = {{ env = "STRANGE_TOKEN" }}
        """,
        encoding="utf-8",
    )
    return "shop"


async def test_a_change_on_production_asks_for_its_name_in_red(
    client: Client, real_terminal: RealTerminal, production: str
) -> None:
    incident = await Trouble(client).incident()
    words = ["incident", "comment", incident, "-p", production]
    reason = f"at production {secrets.token_hex(4)}"

    async def commented() -> int:
        audit = await client.get("notifier", "/admin/v1/audit", target=f"incident:{incident}")
        return sum(item["reason"] == reason for item in audit["items"])

    for answer, code in (("local" + ENTER, 1), (ENTER, 1), (CTRL_D, 1), (CTRL_C, 130)):
        async with real_terminal.opened(*words, "-r", reason) as session:
            await session.shows(f"Type {production} to do it")
            shown = await session.gives_up(answer)
        assert (shown.code, "Traceback" in shown.text) == (code, False), shown.text
        assert ("nothing was done" in shown.text) == (code == 1), shown.text
    assert await commented() == 0
    async with real_terminal.opened(*words) as session:
        await session.shows("Reason")
        session.types(ENTER)
        await session.shows("Reason", times=2)
        session.types(reason + ENTER)
        await session.shows(f"Type {production} to do it")
        session.types(production + ENTER)
        shown = await session.ended()
    assert (shown.code, await commented()) == (0, 1), shown.text
    [warning] = [part for part in shown.raw.splitlines() if "This is PRODUCTION" in part]
    assert _RED.search(warning)
    for keys in (CTRL_C, CTRL_D):
        async with real_terminal.opened(*words) as session:
            await session.shows("Reason")
            shown = await session.gives_up(keys)
        assert shown.code == (130 if keys == CTRL_C else 1), shown.text
    piped = await real_terminal.piped(*words, "-r", reason, typed=production + "\n")
    assert (piped.code, "nobody can be asked here" in piped.remarks, await commented()) == (2, True, 1)


async def test_colours_and_frames_are_for_terminals_that_want_them(client: Client, real_terminal: RealTerminal) -> None:
    number = await Trouble(client).new_order()
    words = ["order", "show", number]
    shown = await real_terminal(*words)
    assert shown.colours, shown.raw
    for said in (await real_terminal(*words, "--no-color"), await real_terminal(*words, NO_COLOR="1")):
        assert [each for each in said.colours if re.search(r"\b[34]\d\b|38|48", each)] == [], said.raw
        assert number in said.text
    listed = await real_terminal("order", "list", "--number", number)
    assert "─" in listed.text
    piped = await real_terminal.piped("order", "list", "--number", number)
    assert "\x1b" not in piped.out + piped.remarks
    assert "─" not in piped.out
    header, row = piped.out.splitlines()
    assert (header.split("\t")[0], row.split("\t")[0]) == ("number", number)


async def test_a_narrow_terminal_breaks_no_number_and_no_id(client: Client, real_terminal: RealTerminal) -> None:
    trouble = Trouble(client)
    number, refund = await asyncio.gather(trouble.new_order(), trouble.failed_refund())
    delivery = await trouble.found("webhook-gateway", "/admin/v1/deliveries", number=number)
    for words, whole in (
        (["order", "list", "--number", number], number),
        (["order", "show", number], number),
        (["refund", "list", "--state", "ERROR", "-n", "20"], refund),
        (["refund", "show", refund], refund),
        (["intake", "list", "--number", number], delivery),
        (["find", number], number),
    ):
        for columns in (100, 40):
            shown = await real_terminal(*words, columns=columns)
            assert (shown.code, whole in shown.text) == (0, True), (columns, shown.text)


async def test_many_are_done_under_a_bar_that_vanishes(client: Client, real_terminal: RealTerminal) -> None:
    trouble = Trouble(client)
    ids = await asyncio.gather(*(trouble.incident() for _ in range(3)))
    shown = await real_terminal("incident", "ack", *ids, "-r", "mine, all three", "-y", "--wait")
    assert shown.code == 0, shown.text
    assert "3 acknowledged" in shown.text
    assert "applying" in shown.text
    assert "━" in shown.text
    piped = await real_terminal.piped("incident", "resolve", *ids, "-r", "over, all three", "-y", "--wait")
    assert (piped.code, "applying" in piped.remarks, "seen: 3 resolved" in piped.remarks) == (0, False, True)


async def test_what_is_live_ends_by_ctrl_c_without_a_trace(client: Client, real_terminal: RealTerminal) -> None:
    trouble = Trouble(client)
    number = await trouble.new_order()
    async with (
        real_terminal.opened("tail", "--only", "intake,incident", "--every", "0.2", columns=200) as tail,
        real_terminal.opened("order", "watch", number, columns=200) as watch,
    ):
        await watch.shows("order.create")

        async def followed() -> bool:  # what was there before is not told; the first look may come after the first hook
            other = await trouble.new_order()
            await asyncio.sleep(0.5)
            return other in tail.text

        await eventually(followed, what="a hook, told live")
        done = await real_terminal(
            "order", "correct", number, "--comment", "to the back door", "-r", "she called", "-y"
        )
        assert done.code == 0, done.text
        await watch.shows("order.correct")
        for session in (tail, watch):
            session.types(CTRL_C)
        for shown in (await tail.ended(), await watch.ended()):
            assert (shown.code, "Traceback" in shown.text) == (130, False), shown.text
    async with real_terminal.opened("order", "watch", number) as watch:
        await watch.shows("order.create")
        done = await real_terminal("order", "cancel", number, "-r", "she called", "-y")
        assert done.code == 0, done.text
        shown = await watch.ended()
    assert (shown.code, "cancelled" in shown.text) == (0, True)


async def test_tab_completes_in_bash_at_a_prompt(real_terminal: RealTerminal, production: str) -> None:
    program = Path(sys.executable).with_name("ordersctl")
    place = {"PATH": f"{program.parent}:/usr/bin:/bin", "PS1": "> ", "HISTFILE": "", "INPUTRC": "/dev/null"}
    async with real_terminal.shell("bash", "--norc", "--noprofile", "-i", environment=place) as bash:
        bash.types('eval "$(ordersctl completion bash)"; echo rea""dy' + ENTER)
        await bash.shows("ready")
        for typed, completed in (
            ("ordersctl workf" + TAB, "ordersctl workflow "),
            ("ordersctl workflow list --state=cr" + TAB, "--state=crashed "),
            ("ordersctl workflow list --state cr" + TAB, "--state crashed "),
            ("ordersctl workflow list --state=crashed --ord" + TAB, "--state=crashed --order-number "),
            ("ordersctl workflow retry --filter=state=st" + TAB, "--filter=state=stopped "),
            ("ordersctl workflow retry --filter order_number" + TAB, "--filter order_number"),
            ("ordersctl status -p sh" + TAB, f"-p {production} "),
        ):
            bash.types(typed)
            await bash.shows(completed)
            bash.types(_KILL_LINE)
        bash.types("ordersctl incident list --state=" + TAB + TAB)
        await bash.shows("acknowledged")
        bash.types(_KILL_LINE + "exit" + ENTER)
        assert (await bash.ended()).code in (0, 130)


async def test_each_exit_code_has_its_cause(client: Client, real_terminal: RealTerminal, production: str) -> None:
    trouble = Trouble(client)
    number, crashed, first, second, paid = await asyncio.gather(
        trouble.new_order(), trouble.crashed(), trouble.incident(), trouble.incident(), trouble.order()
    )
    order = await client.get(ORCHESTRATOR, f"/orders/v1/orders/{paid}", role="internal")
    slow = {"captured": 17000, "currency": "RUB", "polls": 20}
    await client.put("sandbox", f"/sandbox/trust/payments/{order['payment']['id']}", slow)
    kept = await real_terminal.piped("incident", "ack", first, second, "-r", "mine", "--dry-run", "-o", "json")
    assert (await real_terminal("incident", "ack", first, "-r", "mine already", "-y")).code == 0
    for code, words, environment in (
        (0, ["order", "show", number], {}),
        (1, ["workflow", "resume", crashed, "-r", "it does not stand still", "-y"], {}),
        (1, ["workflow", "retry", crashed, "-r", "once more", "-y", "--wait"], {}),
        (1, ["order", "deliver", number, "-r", "too late", "-y", "--expected-version", "99"], {}),
        (2, ["order", "list", "--status", "odd"], {}),
        (2, ["order", "list", "--nonsense"], {}),
        (2, ["order", "cancel", number, "-y", "-r", ""], {}),
        (3, ["order", "show", "no-such-order"], {}),
        (3, ["find", f"nobody-{secrets.token_hex(4)}"], {}),
        (4, ["order", "watch", number, "--timeout", "0.1"], {}),
        (4, ["order", "refund", paid, "-r", "it takes a while", "-y", "--wait", "--timeout", "0.1"], {}),
        (5, ["order", "show", number, "-p", "stranger"], {"STRANGE_TOKEN": "nobody-s-token"}),
        (5, ["workflow", "retry", crashed, "-r", "not mine to do", "-y", "-p", "local-viewer"], {}),
        (5, ["order", "show", number, "-p", "stranger"], {}),
        (6, ["order", "show", number, "-p", "nowhere"], {}),
    ):
        ended = await real_terminal(*words, columns=200, **environment)
        assert ended.code == code, (code, words, ended.text)
        assert "Traceback" not in ended.text
    partly = await real_terminal.piped("apply", "-", "-y", "-o", "json", typed=kept.out)
    assert partly.code == 7, partly.remarks
    assert sorted(item["outcome"] for item in partly.json["items"]) == ["acknowledged", "changed_since"]
    assert json.loads((await real_terminal.piped("profile", "list", "-o", "json")).out)
    assert (await client.get(ORCHESTRATOR, f"/admin/v1/workflows/{crashed}"))["state_name"] == "crashed"
