"""Every text that the console shows, gathered from where it stands: templates, modules, and the tables that pages are made of."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html import unescape
from io import BytesIO
from pathlib import Path

from babel.messages.extract import extract
from jinja2.ext import babel_extract
from markupsafe import escape

import console.web
from console.client import models
from console.client.acts import ACTS, act_of
from console.client.acts import Act as ActOfPeople
from console.client.checks import CHECKS
from console.client.effects import RECIPES
from console.client.notices import NOTICES
from console.client.things import EVERYWHERE, THINGS, thing_of
from console.client.words import label
from console.web.change.forms import inputs
from console.web.change.structure import STRUCTURES
from console.web.filters import OUTCOMES, PHRASES, STATES, VERBS
from console.web.lists.filtering import filters
from console.web.now.gather import DANGERS
from console.web.order.story import SORTS
from console.web.proof.gather import PAID_ONCE, QUESTIONS
from console.web.screens import NAVIGATION, TITLES
from notifier.incidents.kinds import KINDS
from notifier.incidents.offers import OFFERS
from orchestrator.engine import model as workflows
from orchestrator.orders.model import PERSONAL
from orchestrator.orders.transitions import Act
from refunds.refunds.states import RefundState

ROOT = Path(__file__).parents[2]
WEB = Path(console.web.__file__).parent
_NAMES = frozenset(
    {
        *(
            "ordersctl",
            "Telegram",
            "Slack",
            "Sentry",
            "JSON",
            "CSV",
            "Ctrl",
            "MSK",
            "ics",
            "traceparent",
            "base64",
            "TRAVELSUP",
            "RUB",
            "IP",
            "RS",
            "ERROR",
        ),
        *("webhook", "gateway", "orchestrator", "tips", "refunds", "notifier", "English", "Europe", "Moscow"),
    }
)
_IN_ENGLISH = re.compile(
    r'<(\w+)[^>]* (?:lang="en"|translate="no")[^>]*>.*?</\1>|<(code|pre|kbd|script)\b.*?</\2>'
    r'|<article class="runbook".*?</article>',  # which name programs and alerts; its test holds them to both languages
    re.DOTALL,
)
_SPOKEN = re.compile(r'(?:aria-label|title|alt)="([^"]*)"')
_TAG = re.compile("<[^>]*>")
_WORD = re.compile("[A-Za-z]{2,}[0-9]*")
_OPTIONS = {"extensions": "jinja2.ext.i18n,jinja2.ext.do", "silent": "false", "trim_blocks": "true"}
_KEYWORDS = {"_": None, "words": None, "gettext": None, "ngettext": (1, 2)}


def texts() -> set[str | tuple[str, str]]:
    """Return the English of everything; of plurals both forms."""
    return {*_of_files(), *_of_tables()}


def english(page: str, *, but: str) -> set[str]:
    """Return the English words that a page says: none that is a name, a code, somebody's own text (``but``), or marked as English."""
    ours = page.replace(str(escape(but)), "")
    shown = _IN_ENGLISH.sub(" ", ours)
    said = " ".join([*_SPOKEN.findall(shown), _TAG.sub(" ", shown)])
    return set(_WORD.findall(unescape(said))) - _NAMES


def _of_files() -> Iterator[str | tuple[str, str]]:
    for path in sorted(WEB.rglob("*")):
        raw = BytesIO(path.read_bytes() if path.suffix in (".html", ".py") else b"")
        if path.suffix == ".html":
            for _, function, message, _ in babel_extract(raw, list(_KEYWORDS), (), _OPTIONS):
                if message and function:
                    forms = (message,) if isinstance(message, str) else tuple(form for form in message if form)
                    yield (forms[0], forms[1]) if function == "ngettext" else forms[0]
        elif path.suffix == ".py":
            for _, message, _, _ in extract("python", raw, _KEYWORDS):
                yield message if isinstance(message, str) else (message[0], message[1])


def _of_tables() -> Iterator[str]:
    yield from (screen.title for screen in NAVIGATION)
    yield from TITLES.values()
    yield from PHRASES.values()
    yield from VERBS.values()
    yield from (danger.title for danger in DANGERS)
    yield from (question.title for question in (*QUESTIONS, *PAID_ONCE))
    words: set[str] = {*CHECKS, *STATES, *THINGS, *EVERYWHERE, "viewer", "operator", "admin", "service"}
    things = [*THINGS.values(), *(thing_of(noun, "orchestrator") for noun in EVERYWHERE)]
    for thing in things:
        words |= {column.split(".")[-1] for column in thing.columns}
        for field in filters(thing):
            words |= {field.name, *field.choices}
    acts = [*ACTS.values(), *(act_of(f"dead-letter {verb}", "orchestrator") for verb in ("replay", "mend", "dismiss"))]
    for act in [*acts, act_of("customer erase", "orchestrator")]:
        words |= {act.noun, act.verb, *_seen(act)}
        for each in inputs(act):
            words |= {each.field.name, *each.field.choices}
        yield from {act.summary_of(1), act.summary_of(2)}
        for each in inputs(act):
            description = str(each.field.rules.get("description", ""))
            if re.search("[a-z]", re.sub("`[^`]*`", "", description)):
                yield description
    yield from (text for offer in OFFERS.values() for text in (offer.label, offer.does))
    words |= {
        "chat_limit",
        "asked_to_wait",
        "earlier_notice",
        *OUTCOMES,
        *NOTICES,
        *SORTS,
        *_of_answers(),
        *_of_happenings(),
        *(workflows.ORDER_LIFE, workflows.UPDATE_TRANSACTIONS, workflows.REFUND_REQUEST, workflows.ORDER_DOCUMENT),
    }
    words |= {*PERSONAL, "payment_method"}  # by which a difference of orders goes
    words |= {part for structure in STRUCTURES.values() for part in structure.parts}
    yield from map(label, words)
    yield from (f"error {code}" for code in _codes())


def _seen(act: ActOfPeople) -> Iterator[str]:
    """What is said of an effect that is seen."""
    if act.effect is not None:
        yield from (
            word
            for word in (*act.effect.words.values(), act.effect.seen, act.effect.gone, *act.effect.anew.values())
            if word
        )


def _of_answers() -> Iterator[str]:
    """Names of what the services' answers hold, and the only values that some of it may have."""
    for path in sorted(Path(models.__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        kinds = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        for node in (inner for kind in kinds for inner in ast.walk(kind)):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield node.target.id.rstrip("_")
            elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal":
                yield from (str(each.value) for each in ast.walk(node.slice) if isinstance(each, ast.Constant))


def _of_happenings() -> Iterator[str]:
    """Kinds of what happens to orders, and of what people are told."""
    yield from (f"order.{act.value}" for act in Act)
    yield from (f"refund.{state.name.lower()}" for state in RefundState)
    yield from KINDS
    yield from (each for recipe in RECIPES for each in (recipe, "recipes"))
    for text in _sources():
        yield from re.findall(r'\bqueue\(f?"([a-z_]+)[".]', text)
        yield from re.findall(r'kind="((?:hook|ticket|chat_message|endangered_order)\.[a-z_]+)"', text)


def _codes() -> set[str]:
    """Stable codes of the services' errors."""
    return {
        code
        for text in _sources()
        for code in re.findall(r'^    code(?:: ClassVar\[str\])? = "([a-z_]+)"', text, re.MULTILINE)
    }


def _sources() -> Iterator[str]:
    for folder in ("libs", "services"):
        yield from (path.read_text(encoding="utf-8") for path in sorted((ROOT / folder).glob("*/src/**/*.py")))
