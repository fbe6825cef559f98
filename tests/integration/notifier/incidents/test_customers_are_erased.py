"""What the notifier holds of a customer: phones and mails are masked when they are written, and the rest goes with the order."""

from __future__ import annotations

from pathlib import Path

from tests.integration.notifier.factories import STORE, Kit, MakeKit, an_order, created
from tests.integration.notifier.people import put_roster, refund_failed, settings_for
from tests.support.servers import eventually

NUMBER = an_order().number
TEXT = "<срочно>"  # of the order's comment
_TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'outbox'
"""


async def left(kit: Kit, *words: str) -> set[tuple[str, str]]:
    """Where any of the words stand: (table, word), in any column."""
    found: set[tuple[str, str]] = set()
    for table in await kit.fetch(_TABLES):
        name = table["table_name"]
        for row in await kit.fetch(f'SELECT * FROM "{name}"'):  # noqa: S608 - names of tables
            text = " ".join(str(value) for value in row.values())
            found |= {(name, word) for word in words if word in text}
    return found


async def test_an_erased_order_leaves_no_text_of_its_customer_in_the_notifier(
    make_kit: MakeKit, tmp_path: Path
) -> None:
    kit = await make_kit(**settings_for(tmp_path))
    await put_roster(kit, "anna")
    await kit.publish(created(), refund_failed(order_number=NUMBER))

    async def ticket() -> str:
        page = (await kit.call("GET", "/admin/v1/tickets", role="viewer"))[1]
        assert len(page["items"]) == 1, page
        assert await kit.texts(STORE)
        return str(page["items"][0]["key"])

    key = await eventually(ticket)
    said = {"text": "Покупатель Анна просит перезвонить: 9161234567, Anna@Example.org"}
    assert (await kit.call("POST", f"/admin/v1/tickets/{key}/comments", body=said))[0] == 201
    assert await left(kit, "9161234567", "123-45-67", "nna@Example.org") == set()
    assert ("notices", TEXT) in await left(kit, TEXT)

    wanted = {"reason": "the customer asked", "order_number": NUMBER}
    status, preview = await kit.call("POST", "/admin/v1/erasures", role="admin", body={**wanted, "dry_run": True})
    assert (status, preview["by_kind"]["notices"] > 0) == (200, True), preview
    assert ("notices", TEXT) in await left(kit, TEXT)
    status, done = await kit.call("POST", "/admin/v1/erasures", role="admin", body=wanted)
    assert (status, done["by_kind"]) == (200, preview["by_kind"])
    assert await left(kit, TEXT) == set()
    status, again = await kit.call("POST", "/admin/v1/erasures", role="admin", body=wanted)
    assert (status, again["by_kind"]["notices"]) == (200, 0)
