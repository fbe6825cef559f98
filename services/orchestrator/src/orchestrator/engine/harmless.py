"""What an error that is not ours says, without anybody in it: such words may quote what was to be carried out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from common.telemetry import MASK, mask_names, scrub_text
from common.telemetry.masking import is_sensitive
from orchestrator.engine.model import WorkflowEvent

LONGEST = 200
_QUOTED = re.compile(r"""'[^']*'?|"[^"]*"?|«[^»]*»?|`[^`]*`?""")
_NAME_OF_OURS = re.compile(r"['\"`](?:[a-z_][a-z0-9_.]{0,62}|NoneType)['\"`]")  # of a field, a column, a table
_WORD = re.compile(r"\w[\w-]*")
_PLAIN = frozenset(
    {"A", "An", "Cannot", "Expecting", "Invalid", "JSON", "No", "None", "NoneType", "Not", "Object", "The"}
)


def harmless(text: str, events: Sequence[WorkflowEvent]) -> str:
    """Return an error's words on one line of at most ``LONGEST`` characters, scrubbed as a log line is.

    What it quotes is masked but for names like a field's, and so is each word that may be anybody's name, as it is written with a capital
    or in another script, and what stands under a person's keys in these events.
    """
    said = scrub_text(" ".join(text.split()))
    said = _QUOTED.sub(lambda found: found[0] if _NAME_OF_OURS.fullmatch(found[0]) else MASK, said)
    said = _WORD.sub(lambda found: found[0] if _is_plain(found[0]) else MASK, said)
    people: list[str] = []
    for event in events:
        with suppress(orjson.JSONDecodeError):
            people += _people(orjson.loads(event.payload))
    said = mask_names(said, people) or ""
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"


def _is_plain(word: str) -> bool:
    return word.isascii() and (word == word.lower() or word in _PLAIN or any(map(str.isdigit, word)))


def _people(value: Any, *, within: bool = False) -> Iterator[str]:
    """Yield the texts under keys of people, however deep; ``payload`` is only the whole of what came."""
    if isinstance(value, str):
        yield from [value] if within else []
    elif isinstance(value, Mapping):
        for key, held in value.items():
            yield from _people(held, within=within or (key != "payload" and is_sensitive(key)))
    elif isinstance(value, list):
        for held in value:
            yield from _people(held, within=within)
