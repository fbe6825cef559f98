"""What a pressed button means: the few bytes that come back (Telegram: 1 to 64), and which buttons a notice has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from notifier.incidents.model import IncidentState, Recipe
from notifier.messages.buttons import Button, Keyboard
from notifier.messages.document import buttons_from
from notifier.messages.wording import Words

Act: TypeAlias = Literal["ack", "resolve", "silence", "recipe", "yes", "no", "handover"]
_ACTS: Mapping[str, Act] = {
    "a": "ack",
    "r": "resolve",
    "s": "silence",
    "w": "recipe",
    "y": "yes",
    "n": "no",
    "h": "handover",
}
_CODES = {act: code for code, act in _ACTS.items()}
_DATA = re.compile(r"n1:([arswynh]):([0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class ButtonData:
    """What a press means. ``number``: the incident's; of yes and no the asked recipe's; of a handover the handover's."""

    act: Act
    number: int


def data_of(act: Act, number: int) -> str:
    """Return a button's data: a version, a letter and a number, 25 bytes at most."""
    return f"n1:{_CODES[act]}:{number}"


def read_data(data: str) -> ButtonData | None:
    """Read a button's data; None for anything that we never made."""
    found = _DATA.fullmatch(data)
    if found is None or int(found[2]) >= 2**63:
        return None
    return ButtonData(_ACTS[found[1]], int(found[2]))


def incident_buttons(incident_id: int, *, recipe: Recipe | None, words: Words) -> tuple[Button, ...]:
    """Return the buttons of an incident that needs somebody: mine, the recipe if there is one, resolve, silence an hour."""
    made = [Button(label=words["button.ack"], data=data_of("ack", incident_id), style="primary")]
    if recipe is not None:
        made.append(Button(label=words[f"button.{recipe.name}"], data=data_of("recipe", incident_id)))
    made.append(Button(label=words["button.resolve"], data=data_of("resolve", incident_id)))
    made.append(Button(label=words["button.silence"], data=data_of("silence", incident_id)))
    return tuple(made)


def question_buttons(request_id: int, *, words: Words) -> tuple[Button, ...]:
    """Return the buttons that ask back before a recipe is carried out."""
    return (
        Button(label=words["button.yes"], data=data_of("yes", request_id), style="danger"),
        Button(label=words["button.no"], data=data_of("no", request_id)),
    )


def keyboard_of(documents: Sequence[tuple[Mapping[str, Any], IncidentState | None]]) -> Keyboard:
    """Return the rows of buttons under a message that holds these documents (as JSON), each with how its incident stands now.

    Alone, a notice has all its buttons, two a row. In a shared message each has only its first, with the number that tells it apart.
    A problem that is over has none, and one that somebody has taken is not to be taken again. No button stands there twice, however many
    notices are about one incident: Slack refuses a message with two of one ``action_id``.
    """
    each = [_fitting(buttons_from(document.get("buttons") or ()), state) for document, state in documents]
    if len(each) == 1:
        return tuple(each[0][start : start + 2] for start in range(0, len(each[0]), 2))
    firsts = {buttons[0].data: buttons[0] for buttons in each if buttons}
    return tuple(
        (replace(button, label=f"{button.label} №{button.data.rpartition(':')[2]}"),) for button in firsts.values()
    )


def _fitting(buttons: tuple[Button, ...], state: IncidentState | None) -> tuple[Button, ...]:
    if state is IncidentState.RESOLVED:
        return ()
    if state is IncidentState.ACKNOWLEDGED:
        return tuple(button for button in buttons if (read := read_data(button.data)) is None or read.act != "ack")
    return buttons
