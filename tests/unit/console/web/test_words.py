"""How values are written, and that everything is written in both languages."""

from __future__ import annotations

import gettext
import hashlib
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.messages.pofile import read_po

import console.web
from console.client import times
from console.client.money import money
from console.client.words import words
from console.web import filters
from tests.support.console_words import texts

NOW = datetime(2026, 11, 29, 20, 0, tzinfo=UTC)
VENDORED = {
    "htmx-4.0.1.min.js": "429f6b742f07ec4a8ea17fa74743f744f1b63688e2faa7702651a97f3c1026c7cea69dec1b021d48ff713b7f94944867",
    "hx-sse-4.0.1.min.js": "bfc1efb9c43ea21421320d1aadba17739d38f72351e3a40a323a61b3b603721f969bbce97cae57552d357f6ea6403255",
}


def test_every_text_of_every_page_has_its_russian() -> None:
    russian = words("ru")
    assert isinstance(russian, gettext.GNUTranslations)
    missing: list[str | tuple[str, str]] = []
    for text in texts():
        if isinstance(text, str):
            missing += [text] if russian.gettext(text) == text and text.upper() != text else []
        else:
            missing += [text for number in (1, 2, 5) if russian.ngettext(*text, number) in text]
    assert missing == []


@pytest.mark.parametrize("path", ["web/locale/ru.po", "web/locale/ru.services.po", "client/locale/ru.po"])
def test_no_text_stands_twice_in_a_catalogue(path: str) -> None:
    written = files("console").joinpath(path).read_text(encoding="utf-8")
    found = Counter(re.findall(r'^msgid "(.+)"$', written, re.MULTILINE))
    assert [text for text, times in found.items() if times > 1] == []


@pytest.mark.parametrize(
    ("minor", "currency", "language", "written"),
    [
        (8500, "RUB", "en", "RUB\u00a085.00"),
        (8500, "RUB", "ru", "85,00\u00a0₽"),
        (-1, "RUB", "ru", "-0,01\u00a0₽"),
        (8500, "JPY", "en", "¥\u00a08,500"),
        (1234, "KWD", "en", "KWD\u00a01.234"),
        (100, None, "en", "100"),
        ("much", "RUB", "en", "much"),
        (True, "RUB", "en", "True"),
    ],
)
def test_money_is_written_by_its_currency(minor: object, currency: object, language: str, written: str) -> None:
    assert money(minor, currency, language=language) == written


def test_times_are_written_with_their_zone_and_how_long_ago() -> None:
    assert times.moment(NOW, language="en", zone=ZoneInfo("Europe/Moscow")) == "29 Nov 2026, 23:00:00 MSK"
    assert times.ago(NOW - timedelta(minutes=5), NOW, language="en") == "5 minutes ago"
    assert times.ago(NOW + timedelta(minutes=5), NOW, language="ru") == "через 5 минут"
    assert times.ago(NOW - timedelta(minutes=2), NOW, language="ru") == "2 минуты назад"


@pytest.mark.parametrize("given", ["2026-11-29", "soon", "2026-13-45T99:99:99Z", "", None, 5, ["2026-11-29T20:00:00Z"]])
def test_what_is_no_time_is_not_written_as_one(given: object) -> None:
    assert times.as_time(given) is None


def test_faults_and_findings_are_said_in_the_language_of_the_page() -> None:
    fault = "a number is needed (not_a_number); the sum is too large (too_large)"
    says = {
        language: filters.writers(language=language, zone=lambda: "UTC", now=lambda: NOW, translate=str)["sentence"]
        for language in ("ru", "en")
    }
    assert says["ru"](fault) == "нужно число (not_a_number); сумма слишком велика (too_large)"
    assert says["en"](fault) == fault


def test_states_differ_by_shape_and_not_by_colour_alone() -> None:
    shapes = {filters.shape(state) for state in ("crashed", "open", "resolved", "running", "anything else")}
    assert len({sign for _, sign in shapes}) == len({name for name, _ in shapes}) == 5


def test_scripts_of_others_are_the_ones_that_were_looked_at() -> None:
    folder = Path(console.web.__file__).parent / "static" / "vendor"
    found = {path.name: hashlib.sha384(path.read_bytes()).hexdigest() for path in folder.glob("*.js")}
    assert found == VENDORED
    assert (folder / "LICENSE-htmx").is_file()


_COUNTED = re.compile(r"(?:\{\}|%\((?:n|num|m|shown|cut|days|hours)\)s)( [^\W\d_]+)+")
_VERBS = frozenset(
    [
        "answers",
        "does",
        "has",
        "holds",
        "goes",
        "is",
        "lets",
        "lies",
        "names",
        "requires",
        "stands",
        "status",
        "stays",
        "summons",
        "takes",
        "was",
    ]
)
_ALWAYS_MANY = {
    "Option {} requires {} arguments.": "typer says it of several only",
    "Argument {} takes {} values.": "typer says it of several only",
    "The newest %(shown)s lines are shown; older ones that are not: %(cut)s.": "of the most lines that are shown",
    "{} items in {} plans, which are applied one after the other": "said of several plans only",
    "seen: erased in {} services": "its form of one has no number before it",
    "The timeline is longer than %(n)s lines: what came later is not here.": "of the most lines there are",
    "requests whose receipt and outcome do not add up, of {} minutes of the last hour": "kept by the release before",
}
"""Texts whose number is never one, and why."""


def test_a_number_before_a_noun_has_its_forms_in_both_languages() -> None:
    root = Path(console.web.__file__).parents[1]
    catalogues = [read_po(BytesIO(path.read_bytes())) for path in root.rglob("ru*.po")]
    single = {str(each.id): str(each.string) for found in catalogues for each in found if isinstance(each.id, str)}
    assert len(single) > 1000

    def counts(text: str) -> list[str]:
        words_ = (found[0].split()[1] for found in _COUNTED.finditer(text))
        return [word for word in words_ if word.endswith("s") and word not in _VERBS]

    def has_twin(text: str) -> bool:
        return any(f"{{}} {word[:-1]} " in f"{other} " for word in counts(text) for other in single)

    wrong = [text for text in single if counts(text) and not has_twin(text) and text not in _ALWAYS_MANY]
    assert wrong == [], repr(wrong)
    russian = re.compile(
        r"(?:\{\}|%\((?:n|num|m|shown|cut)\)s) (?!мин |ч |из |снова |платежа )[а-яё]{3,}(?:ов|ей|й|а|ы|и|я)\b"
    )
    assert [text for text, said in single.items() if russian.search(said) and text not in _ALWAYS_MANY] == []
