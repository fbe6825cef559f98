"""How values are written for people: money, times, words, states. Pure; each takes the language it writes in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date
from markupsafe import Markup, escape

from common.moments import rewritten
from console.client.acts import Act
from console.client.late import late
from console.client.money import amount_told, currency_of, difference_told, money
from console.client.notices import in_words
from console.client.sentences import sentences
from console.client.things import ON_ITS_WAY
from console.client.timeline import told
from console.client.times import ago, as_time, lasting, moment
from console.client.words import called, label
from console.web.screens import TITLES

_BAD = frozenset(
    {
        *("crashed", "failed", "quarantined", "refused", "error", "cancelled", "lost", "declined"),
        *("critical", "ERROR", "silent"),
    }
)
_WARN = frozenset(
    {
        *("open", "new", "warning", "stopped", "unknown", "waiting", "UNKNOWN", "DECLINED", "spooled"),
        *("dead", "not_told", "urgent", "parked", "attention", "escalated", "late", "silenced"),
    }
)
_GOOD = frozenset(
    {
        *("resolved", "done", "confirmed", "sent", "closed", "delivered", "finished", "resubmitted", "saved"),
        *("SUCCESS", "ok", "acknowledged", "released", "replayed", "heard"),
    }
)
_MOVES = frozenset(
    {"running", "CREATE", "SENDING", "PENDING", "pending", "sending", "in_progress", "queued", ON_ITS_WAY}
)
_SHAPES = ((_BAD, "bad", "✕"), (_WARN, "warn", "▲"), (_GOOD, "good", "✓"), (_MOVES, "moves", "◔"))
STATES = _BAD | _WARN | _GOOD | _MOVES
"""States that are more than a word."""


def as_input(value: datetime, *, zone: str) -> str:
    """Write a time as browsers fill it in, in the zone that is named beside."""
    return value.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M:%S" if value.second else "%Y-%m-%dT%H:%M")


def as_pattern(text: str) -> str:
    """Write a text as the pattern of a silence that fits it and, at most, what differs from it in a sign that patterns or lists read."""
    return "".join("?" if sign in "*?[], \t" or (sign == "!" and at == 0) else sign for at, sign in enumerate(text))


PHRASES = {
    "check refunds": "compare refunds with the payment systems",
    "duty confirm": "confirm the handover",
    "duty override": "somebody else on duty for a while",
    "endangered mend": "correct an endangered order",
    "endangered resubmit": "resubmit endangered orders",
    "incident ack": "take incidents",
    "incident resolve": "resolve incidents",
    "known-defect add": "add a known defect",
    "instruction set": "write an instruction",
    "limits lift": "let somebody order again",
    "message test": "send a test message",
    "order enter-event": "enter an event that never came",
    "order refund": "give money back",
    "silence add": "silence problems",
    "silence end": "end a silence",
    "ticket open": "open a ticket",
    "workflow resume": "let workflows go on",
    "workflow retry": "retry workflows",
    "workflow stop": "stop workflows",
}
"""What an act is called where its noun does not stand beside it, if not by both."""
VERBS = {"link": "link to another", "open": "open a ticket"}
"""What is done, where its word is also that of a thing."""
OUTCOMES = frozenset({"retried", "resumed", "stopped", "skipped", "restarted", "recalculated", "given_up", "unchanged"})
"""How acts come out, beside what answers name."""


def phrase(act: Act, *, translate: Translate) -> str:
    """Return what is done, and to what, in the page's language."""
    said = PHRASES.get(act.name)
    return translate(said) if said else f"{translate(label(act.noun))}: {verb(act, translate=translate)}"


def verb(act: Act, *, translate: Translate) -> str:
    """Return what is done, in the page's language."""
    return translate(VERBS.get(act.verb) or label(act.verb))


def shape(state: object) -> tuple[str, str]:
    """Return a state's class of style and its sign, so that colour is never all that tells states apart."""
    return next(((name, sign) for states, name, sign in _SHAPES if state in states), ("plain", "•"))


def as_json(value: object) -> str:
    """Write a nested value as people read it."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def basket(items: object) -> str:
    """Write what somebody wanted to buy: names and pieces, as far as they can be read."""
    if not isinstance(items, list):
        return ""
    return ", ".join(
        f"{each.get('name') or each.get('id') or '?'} × {each.get('quantity') or each.get('originalQuantity') or '?'}"
        if isinstance(each, Mapping)
        else str(each)
        for each in items
    )


Translate = Callable[[str], str]


def foreign(text: object, *, language: str) -> bool:
    """Tell whether a text of a service, or a name, is not in the page's language: a reader's voice has to know."""
    return (
        language == "ru"
        and isinstance(text, str)
        and _LATIN.search(text) is not None
        and _CYRILLIC.search(text) is None
    )


_LATIN = re.compile("[A-Za-z]{2}")
_CYRILLIC = re.compile("[А-Яа-яЁё]")


def coded(text: str) -> Markup:
    """Write a text with what stands between backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


_CODE = re.compile("`([^`]*)`")


def explained(code: object, *, translate: Translate) -> str | None:
    """Return what a service's code of an error means in the page's language; None where only the service's own words say it."""
    asked = f"error {code}"
    found = translate(asked)
    return None if found == asked else found


def writers(
    *, language: str, zone: Callable[[], str], now: Callable[[], datetime], translate: Translate
) -> dict[str, Callable[..., Any]]:
    """Return the filters of pages in one language, each in its time zone."""
    say = sentences(language)

    def write(value: datetime) -> str:
        return moment(value, language=language, zone=ZoneInfo(zone()))

    return {
        "as_time": as_time,
        "moment": lambda value: "—" if value is None else write(value),
        "ago": lambda value: "—" if value is None else ago(value, now(), language=language),
        "lasting": lambda seconds: lasting(seconds, language=language),
        "late": lambda copy: late(copy, language=language, zone=ZoneInfo(zone()), translate=translate),
        "as_pattern": as_pattern,
        "as_input": lambda value: as_input(value, zone=zone()),
        "day": lambda value: format_date(value, "EEEE, d MMMM", locale=language),
        "money": lambda minor, currency: money(minor, currency, language=language),
        "label": lambda name: translate(label(str(name))),
        "in_words": lambda notice: in_words(notice, language=language),
        "verb": lambda act: verb(act, translate=translate),
        "phrase": lambda act: phrase(act, translate=translate),
        "label_plural": lambda noun: translate(TITLES[noun]),
        "translated": translate,
        "meant": lambda text: called(text, language),
        "sentence": lambda text: rewritten(say(text), write),
        "told": lambda line: rewritten(told(line, language=language), write),
        "coded": coded,
        "foreign": lambda text: foreign(text, language=language),
        "explained": lambda code: explained(code, translate=translate),
        "shape": shape,
        "basket": basket,
        "as_json": as_json,
        "currency_of": currency_of,
        "difference_told": lambda shown: difference_told(shown, language=language),
        "amount_told": lambda shown: amount_told(shown, translate=translate, language=language),
    }
