"""Every text that the console shows, gathered from where it stands: templates, modules, and the tables that pages are made of."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.extract import extract
from jinja2.ext import babel_extract

import console.web
from console.client.acts import ACTS, act_of
from console.client.checks import CHECKS
from console.client.things import EVERYWHERE, THINGS, thing_of
from console.web.change.forms import inputs
from console.web.filters import STATES, label
from console.web.lists.filtering import filters
from console.web.now.gather import DANGERS
from console.web.proof.gather import PAID_ONCE, QUESTIONS
from console.web.screens import NAVIGATION, TITLES

WEB = Path(console.web.__file__).parent
_OPTIONS = {"extensions": "jinja2.ext.i18n,jinja2.ext.do", "silent": "false", "trim_blocks": "true"}
_KEYWORDS = {"_": None, "words": None, "gettext": None, "ngettext": (1, 2)}


def texts() -> set[str | tuple[str, str]]:
    """Return the English of everything; of plurals both forms."""
    return {*_of_files(), *_of_tables()}


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
    yield from (danger.title for danger in DANGERS)
    yield from (question.title for question in (*QUESTIONS, *PAID_ONCE))
    words: set[str] = {*CHECKS, *STATES, *THINGS, *EVERYWHERE, "viewer", "operator", "admin", "service"}
    things = [*THINGS.values(), *(thing_of(noun, "orchestrator") for noun in EVERYWHERE)]
    for thing in things:
        words |= {column.split(".")[-1] for column in thing.columns}
        for field in filters(thing):
            words |= {field.name, *field.choices}
    acts = [*ACTS.values(), *(act_of(f"dead-letter {verb}", "orchestrator") for verb in ("replay", "mend", "dismiss"))]
    for act in acts:
        words |= {act.noun, act.verb}
        for each in inputs(act):
            words |= {each.field.name, *each.field.choices}
    yield from map(label, words)
