"""Block Kit: what Slack takes and what it refuses, with its codes and pointers."""

from typing import Any

import pytest

from sandbox.systems.slack.blocks import BlockError, action_ids, check_blocks


def section(text: str = "hi") -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def button(action_id: str, **more: Any) -> dict[str, Any]:
    return {"type": "button", "action_id": action_id, "text": {"type": "plain_text", "text": "ok"}, **more}


def actions(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "actions", "block_id": "b", "elements": list(elements)}


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [section("x" * 3000)] * 4,
        [section()] * 50,
        [actions(*(button(str(index)) for index in range(25)))],
        [{"type": "header", "text": {"type": "plain_text", "text": "h" * 150}}, {"type": "divider"}],
        [{"type": "context", "elements": [{"type": "mrkdwn", "text": "c"}]}],
        [section() | {"accessory": button("a", value="v" * 2000, style="danger")}],
    ],
)
def test_a_message_within_the_limits_is_taken(blocks: list[Any]) -> None:
    check_blocks(blocks)


@pytest.mark.parametrize(
    ("blocks", "code", "message"),
    [
        ("[]", "invalid_blocks_format", None),
        ([section()] * 51, "invalid_blocks", "no more than 50 items allowed [json-pointer:/blocks]"),
        (
            [section(), section("x" * 3001)],
            "invalid_blocks",
            "must be less than 3001 characters [json-pointer:/blocks/1/text/text]",
        ),
        ([section("")], "invalid_blocks", "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
        (
            [actions(*(button(str(index)) for index in range(26)))],
            "invalid_blocks",
            "no more than 25 items allowed [json-pointer:/blocks/0/elements]",
        ),
        (
            [actions(button("a"), button("a"))],
            "invalid_blocks",
            "`action_id` must be unique [json-pointer:/blocks/0/elements/1/action_id]",
        ),
        ([{"type": "banner"}], "invalid_blocks", "unsupported type: banner [json-pointer:/blocks/0/type]"),
        (
            [{"type": "header", "text": {"type": "mrkdwn", "text": "h"}}],
            "invalid_blocks",
            "must be a valid enum value [json-pointer:/blocks/0/text/type]",
        ),
        (
            [actions(button("a", value="v" * 2001))],
            "invalid_blocks",
            "must be less than 2001 characters [json-pointer:/blocks/0/elements/0/value]",
        ),
        ([section("x" * 2700)] * 5, "msg_blocks_too_long", None),
    ],
)
def test_a_message_beyond_the_limits_is_refused(blocks: Any, code: str, message: str | None) -> None:
    with pytest.raises(BlockError) as refused:
        check_blocks(blocks)
    assert (refused.value.code, refused.value.messages) == (code, [f"[ERROR] {message}"] if message else [])


def test_every_button_can_be_found_with_its_block() -> None:
    blocks = [actions(button("a", value="1")), section() | {"accessory": button("b")}]
    assert [(found["action_id"], found["block_id"], found.get("value")) for found in action_ids(blocks)] == [
        ("a", "b", "1"),
        ("b", "", None),
    ]
