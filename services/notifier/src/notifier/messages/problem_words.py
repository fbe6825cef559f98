"""What services say of their problems, in the language of the notices: each service writes in one language only."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Literal

from notifier.incidents.model import ProblemFact
from notifier.messages.words import Language, Words

Said = Mapping[Language, str]

_FILE = tomllib.loads(files(__package__).joinpath("problem_words.toml").read_text("utf-8"))
SUMMARIES: Mapping[str, Said] = _FILE["summaries"]
INSTRUCTIONS: Mapping[str, Said] = _FILE["instructions"]
OWN: Mapping[Literal["summaries", "instructions"], Mapping[str, str]] = _FILE["own"]
PHRASES: tuple[tuple[str, Said], ...] = tuple((each.pop("pattern"), each) for each in _FILE["phrases"])
_PHRASES = tuple((re.compile(pattern, re.DOTALL), said) for pattern, said in PHRASES)


def in_our_words(fact: ProblemFact, words: Words) -> ProblemFact:
    """Return a service's problem with summary, instruction and details in the notices' language.

    Kinds and phrases that are not known keep their service's words, and so does what people and other systems wrote.
    """
    values = defaultdict(lambda: "–", fact.details)
    values |= {"number": fact.order_number or "–", "source": fact.source or "–"}
    summary = SUMMARIES.get(fact.kind, {}).get(words.language)
    instruction = INSTRUCTIONS.get(fact.kind, {}).get(words.language)
    return replace(
        fact,
        summary=fact.summary if summary is None else summary.format_map(values),
        what_to_do=fact.what_to_do if instruction is None else instruction.format_map(values),
        details={name: _value(name, value, words) for name, value in fact.details.items()},
    )


def phrase(text: str, words: Words) -> str:
    """Return what a service says, in the notices' language where it is known; else as it is."""
    for pattern, said in _PHRASES:
        found = pattern.fullmatch(text)
        if found is not None:
            return said[words.language].format(*found.groups()) if words.language in said else text
    head, separator, rest = text.partition(": ")  # of whom or of what, then what happened
    return f"{head}: {phrase(rest, words)}" if separator else text


def _value(name: str, value: str, words: Words) -> str:
    return words.named("status", value) if name == "status" else phrase(value, words)
