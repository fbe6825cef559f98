"""What people do by buttons in chats, beside taking a problem; the audit of the service that did it names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from suite_local.catalogue import NOTIFIER, ORCHESTRATOR, REFUNDS, Service
from tests.support.servers import eventually
from tests.support.shipped_chats import CHANNELS, Channel
from tests.support.shipped_stand import Stand


async def named(at: Stand, service: Service, *, who: str, action: str, target: str) -> None:
    """Wait until the audit of a service says that this person did this to that."""

    async def found() -> bool:
        page = await at.call("GET", f"{at.url(service)}/admin/v1/audit?target={target}&limit=100")
        return (who, action) in {(each["actor"], each["action"]) for each in page["items"]}

    await eventually(found, what=f"{service.name}: {who} {action} {target}")


async def people_act_by_buttons(
    at: Stand,
    *,
    crashed: Mapping[str, Any],
    refund: Mapping[str, Any],
    noisy: Sequence[Mapping[str, Any]],
    first: Channel,
) -> None:
    """Retry the workflow in one chat and the refund in the other, silence something in each, and take over the duty in the first.

    Which of the ``noisy`` is silenced where is left open: where problems share a message because a chat's minute is full, each has only
    its first button there.
    """
    second: Channel = next(channel for channel in CHANNELS if channel != first)
    for channel, incident in ((first, crashed), (second, refund)):
        message, recipe = await at.chats.having(channel, f"n1:w:{incident['id']}")
        await at.chats.press(channel, message, recipe, user="oleg")
        question, yes = await at.chats.having(channel, r"n1:y:\d+")
        await at.chats.press(channel, question, yes, user="oleg")
    await named(at, ORCHESTRATOR, who="oleg", action="workflow.retry", target=crashed["fingerprint"])
    of_refund = refund["fingerprint"].rpartition(":")[0]  # without the number of its failure
    await named(at, REFUNDS, who="oleg", action="refund.restart", target=of_refund)

    still = {str(incident["id"]) for incident in noisy}
    for channel in (first, second):
        message, silence = await at.chats.having(channel, f"n1:s:(?:{'|'.join(sorted(still))})")
        await at.chats.press(channel, message, silence, user="anna")
        still.remove(silence.rpartition(":")[2])

    async def silenced() -> bool:
        page = await at.call("GET", f"{at.url(NOTIFIER)}/admin/v1/audit?action=silence.add&limit=100")
        return [each["actor"] for each in page["items"]] == ["anna"] * 2

    await eventually(silenced, what="two silences by anna")

    on_duty = (await at.call("GET", f"{at.url(NOTIFIER)}/admin/v1/on-call"))["on_duty"]["id"]
    other = next(who for who in ("oleg", "anna") if who != on_duty)
    message, handover = await at.chats.having("telegram", r"n1:h:\d+")
    if first == "slack":  # it is told in Telegram; a signed press is believed wherever it comes from
        message, _ = await at.chats.having("slack", r"n1:\w:\d+")
    for who in (other, on_duty):  # whose it is not cannot take it
        await at.chats.press(first, message, handover, user=who)
    target = f"handover:{handover.rpartition(':')[2]}"
    await named(at, NOTIFIER, who=on_duty, action="handover.confirm", target=target)
    page = await at.call("GET", f"{at.url(NOTIFIER)}/admin/v1/audit?target={target}&limit=100")
    assert [each["actor"] for each in page["items"]] == [on_duty]
