"""Ids of the sandbox's Telegram: a bot's database outlives the sandbox, and must meet none of them again."""

from __future__ import annotations

from sandbox.systems.telegram.state import TelegramState


def test_ids_of_a_later_start_are_none_of_an_earlier_one_and_fit_their_types() -> None:
    given: list[int] = []
    for started in (1_790_000_000, 1_790_000_060):
        state = TelegramState(started=started)
        given += [state.next_message_id() for _ in range(3)] + [int(state.next_press_id()) for _ in range(3)]
    assert len(set(given)) == len(given)
    messages = [number for number in given if number < 2**31]
    assert (len(messages), max(given) < 2**63) == (6, True)
