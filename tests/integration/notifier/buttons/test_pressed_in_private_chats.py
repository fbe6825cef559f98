"""A button that is pressed in a private chat: what it asks back goes to where it was pressed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest
from slack_sdk.signature import SignatureVerifier

from tests.integration.notifier.factories import MakeKit
from tests.integration.notifier.people import SIGNING, settings_for


@pytest.mark.parametrize(
    ("channel", "address"),
    [
        ({"id": "C1", "name": "on-call"}, "#on-call"),
        ({"id": "G1", "name": "privategroup"}, "G1"),
        ({"id": "D1", "name": "directmessage"}, "D1"),
        ({"id": "G2", "name": "mpdm-oleg--anna-1"}, "G2"),
        ({"id": "G3", "name": None}, "G3"),
        ({"id": "G4", "name": ["x"]}, "#['x']"),
        ({"name": "directmessage"}, "#directmessage"),
        ({"id": "C5"}, "C5"),
        (None, ""),
    ],
)
async def test_a_press_in_slack_is_kept_with_the_chat_that_can_be_written_to(
    make_kit: MakeKit, tmp_path: Path, channel: object, address: str
) -> None:
    kit = await make_kit(**settings_for(tmp_path))
    payload = {
        "type": "block_actions",
        "user": {"id": "UOLEG"},
        "channel": channel,
        "trigger_id": "1.2",
        "actions": [{"value": "n1:a:1", "action_ts": "1.5"}],
    }
    body = urlencode({"payload": json.dumps(payload)})
    stamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": SignatureVerifier(SIGNING).generate_signature(timestamp=stamp, body=body) or "",
    }
    async with kit.sandbox.session.post(f"{kit.url}/slack/interactions", data=body, headers=headers) as answer:
        assert answer.status == 200
    assert [row["address"] for row in await kit.fetch("SELECT address FROM presses")] == [address]
