"""A problem that was kept in the notices' language, in the language of who reads it.

What its kind and details say is said anew; what this service wrote in words of its own, and phrases of others within it, are recognised.
What people, alerts and error reports say stays as it is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Literal

from notifier.messages.problem_words import INSTRUCTIONS, OWN, PHRASES, SUMMARIES
from notifier.messages.words import Language, languages

_OURS = ("ack.", "button.ack", "button.handover", "button.resolve", "button.silence", "channel.", "crashed.", "do.", "instead",
         "nobody.", "notice.refused", "phone.nobody", "recipe.no_token", "recipe.re", "refused.", "roster.", "silent.", "status.",
         "summons", "ticket.", "unread.")  # fmt: skip
"""How the keys of words begin in which this service says summaries, instructions, details, and what it did."""
_WRITTEN = frozenset({"problem.alert", "problem.sentry"})
_LONGEST = 600  # characters: nothing of ours is longer
_FIELD = re.compile(r"{(\w+)}")
_GROUP = re.compile(r"(?<!\\)\((?:[^()]|\(\?:[^()]*\))*(?<!\\)\)")


def otherwise(row: Mapping[str, Any], *, kept_in: Language, language: Language) -> dict[str, Any]:
    """Return an incident's row in a language, with its history and recipes where it has them; it is kept in ``kept_in``."""
    if language == kept_in:
        return dict(row)
    say = recogniser(kept_in, language)
    row = {**row, **{part: [_line(line, say) for line in row[part]] for part in ("history", "recipes") if part in row}}
    if row["kind"] in _WRITTEN:
        return row
    values = defaultdict(lambda: "–", row["details"])
    values |= {"number": row["order_number"] or "–", "source": row["source"] or "–"}
    summary = SUMMARIES.get(row["kind"], {}).get(language) or _original("summaries", row["kind"], language)
    to_do = INSTRUCTIONS.get(row["kind"], {}).get(language) or _original("instructions", row["kind"], language)
    return {
        **row,
        "summary": summary.format_map(values) if summary else say(row["summary"]),
        "instruction": to_do.format_map(values) if to_do and row["instruction"] else say(row["instruction"]),
        "details": {name: say(value) for name, value in row["details"].items()},
    }


def _line(line: Mapping[str, Any], say: Callable[[Any], Any]) -> dict[str, Any]:
    """A line of the history, or a run of a recipe; a remark is its author's."""
    said = line.get("act") != "comment"
    return {name: say(held) if said and name in ("text", "result") else held for name, held in line.items()}


def _original(of: Literal["summaries", "instructions"], kind: str, language: Language) -> str | None:
    text = OWN[of].get(kind, "")
    return text if text and (re.search("[А-Яа-я]", text) is not None) == (language == "ru") else None


@cache
def recogniser(kept_in: Language, language: Language) -> Callable[[Any], Any]:
    """Return what says a text in the language if it is ours, the text that says most first; any other text as it is."""
    pairs = sorted(_pairs(kept_in, language), key=lambda pair: -len(_FIELD.sub("", pair[0])))
    known = [(_pattern(said), told) for said, told in pairs]

    def say(text: Any) -> Any:
        if not isinstance(text, str) or len(text) > _LONGEST:
            return text
        for pattern, told in known:
            if found := pattern.fullmatch(text):
                values = {name: str(say(value)) for name, value in found.groupdict().items()}
                return _FIELD.sub(lambda field, values=values: values[f"_{field[1]}"], told)  # type: ignore[misc]  # bound at once
        head, between, rest = text.partition(": ")
        return f"{say(head)}: {say(rest)}" if between else text

    return say


def _pairs(kept_in: Language, language: Language) -> Iterator[tuple[str, str]]:
    words = languages()
    yield from ((said, words[language][key]) for key, said in words[kept_in].items() if key.startswith(_OURS))
    for pattern, said in PHRASES:
        first, *others = _GROUP.split(pattern.removesuffix(".*"))
        plain = re.sub(r"\\(.)", r"\1", first + "".join(f"{{{place}}}{part}" for place, part in enumerate(others)))
        yield said.get(kept_in, plain), said.get(language, plain)


def _pattern(template: str) -> re.Pattern[str]:
    """Return what recognises a filled template; a field that stands twice holds the same both times."""
    seen: set[str] = set()
    parts = _FIELD.split(template)
    for place in range(1, len(parts), 2):
        name = f"_{parts[place]}"
        parts[place] = f"(?P={name})" if name in seen else f"(?P<{name}>.+?)"
        seen.add(name)
    return re.compile("".join(part if place % 2 else re.escape(part) for place, part in enumerate(parts)), re.DOTALL)
