"""What is wrong with the arguments is said in the language in which the command would have spoken."""

from __future__ import annotations

import re

import pytest

from tests.unit.console.cli.conftest import Ordersctl

ENGLISH = re.compile("[A-Za-z]{3,} [a-z]{2,}")
OURS = re.compile(r"ordersctl [a-z ]+|'[^']*'|\{[A-Z]+\}|\([^)]*\)")
WRONG = [
    ("order", "show"),
    ("order", "show", "A1", "--nope"),
    ("order", "show", "A1", "--outptu", "json"),
    ("order", "show", "A1", "B2"),
    ("order", "show", "A1", "-o", "xml"),
    ("order", "show", "A1", "--no-color=yes"),
    ("order", "shwo"),
    ("ordr",),
    ("xyzzy",),
    ("refund", "list", "--limit", "x"),
    ("refund", "list", "--limit", "-3"),
    ("refund", "list", "--state"),
    ("find",),
    ("order", "watch", "A1", "--timeout", "long"),
]


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_arguments_are_told_in_one_language(
    arguments: tuple[str, ...], ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("LC_ALL", "ru_RU.UTF-8")
    russian = ordersctl(*arguments)
    assert russian.code == 2
    assert re.search("[а-я]{3}", russian.remarks)
    assert ENGLISH.findall(OURS.sub("", russian.remarks)) == [], russian.remarks
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    english = ordersctl(*arguments)
    assert english.code == 2
    assert not re.search("[а-я]", english.remarks), english.remarks
    assert "Error" in english.remarks


def test_the_language_that_is_asked_for_tells_also_what_is_wrong(ordersctl: Ordersctl) -> None:
    assert "Не хватает аргумента 'NUMBER'" in ordersctl("order", "show", "--language", "ru").remarks
    assert "Missing argument 'NUMBER'" in ordersctl("order", "show", "--language=en").remarks


def test_help_says_how_a_command_is_used_in_one_language(ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "ru_RU.UTF-8")
    assert "Использование: ordersctl order [ПАРАМЕТРЫ] КОМАНДА" in ordersctl("order", "-h").out
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert "Usage: ordersctl order [OPTIONS] COMMAND" in ordersctl("order", "-h").out
