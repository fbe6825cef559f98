"""The help of a command says what it does, who may, and how it is used."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from console.cli.app import application
from console.cli.helping import helps, parts
from console.cli.nouns import NOUNS
from console.client.acts import ACTS, Act
from notifier.duty.views import OverrideBody
from notifier.silences.views import NewSilence
from notifier.tickets.views import LinkTicketBody
from orchestrator.orders.operator_views import CorrectOrder
from tests.unit.console.cli.conftest import Ordersctl, Services
from webhook_gateway.website.ban_routes import Lift

MADE = [act for act in ACTS.values() if NOUNS[act.noun].acts]
"""Those whose commands are made of the table; `check refunds` is one of its own."""


@pytest.mark.parametrize("act", MADE, ids=lambda act: act.name)
def test_every_act_has_its_role_and_an_example_with_all_that_it_needs(
    act: Act, ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    ended = ordersctl(act.noun, act.verb, "--help")
    assert (ended.code, f"({act.operation.role})" in ended.out) == (0, True)
    [line] = [line for line in ended.out.splitlines() if "Example: " in line]
    words = shlex.split(line.partition("Example: ")[2])
    assert words[:3] == ["ordersctl", act.noun, act.verb]
    # It is understood: with a profile that there is not, that is all that is wrong.
    refused = ordersctl(*words[1:], "-p", "nowhere")
    assert (refused.code, "no profile nowhere" in refused.remarks) == (2, True), refused.remarks


@pytest.mark.parametrize(
    ("words", "line", "body"),
    [
        ("order correct", "POST /admin/v1/orders/NUMBER/correct", CorrectOrder),
        ("silence add", "POST /admin/v1/silences", NewSilence),
        ("duty override", "POST /admin/v1/roster/overrides", OverrideBody),
        ("ticket link", "POST /admin/v1/tickets/KEY/link", LinkTicketBody),
        ("limits lift", "DELETE /admin/v1/order-limits", Lift),
    ],
)
def test_an_example_is_one_that_the_service_understands(
    words: str, line: str, body: Any, services: Services, ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    services.on("GET /orders/v1/orders/NUMBER", {"number": "NUMBER", "version": 4})
    services.on("GET /admin/v1/roster", {"revision": 4})
    services.on("GET /admin/v1/tickets/KEY", {"key": "KEY", "version": 4})
    services.on(line, {"code": "enough", "detail": "it was read"}, 409)
    shown = ordersctl(*words.split(), "--help").out
    [example] = [each for each in shown.splitlines() if "Example: " in each]
    ordersctl(*shlex.split(example.partition("Example: ")[2])[1:])
    assert services.calls[-1].line == line
    body.model_validate(services.calls[-1].body)


def test_no_command_and_no_option_lacks_its_russian_help() -> None:
    say = helps("ru")
    held = (getattr(part, name, None) for part in parts(get_command(application())) for name in ("help", "epilog"))
    texts = {text for text in held if isinstance(text, str)}
    assert len(texts) > 350
    assert sorted(text for text in texts if not all(re.search("[а-яё]", part) for part in say(text).split("; "))) == []
    assert {helps("en")(text) for text in texts} == texts


def test_help_is_in_the_language_of_the_terminal(ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("LC_ALL", "ru_RU.UTF-8")
    whole, group, one = ordersctl("--help").out, ordersctl("roster", "--help").out, ordersctl("duty", "take", "-h").out
    assert ("Начните с" in whole, "Кто отвечает сейчас" in whole, "Команды" in whole) == (True, True, True)
    assert "Показать план дежурств" in group
    assert ("Взять дежурство на себя, сейчас (operator)" in one, "--until" in one) == (True, True)
    assert "время или +12h; если не сказано, до конца идущей смены" in one
    assert "Показать эту справку и закончить." in one
    assert "Пример: ordersctl silence add" in ordersctl("silence", "add", "--help").out
    assert "Начните с" in ordersctl().out + ordersctl().remarks
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert ("Begin with" in ordersctl("--help").out, "Commands" in ordersctl("--help").out) == (True, True)


def test_the_language_of_the_profile_goes_before_the_terminals(
    ordersctl: Ordersctl, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    written = profile.read_text(encoding="utf-8")
    profile.write_text(written.replace("[profiles.here]", '[profiles.here]\n        language = "ru"'), encoding="utf-8")
    assert "Начните с" in ordersctl("--help").out
    assert "Показать один заказ целиком" in ordersctl("order", "show", "--help").out
    assert "Show one order, whole" in ordersctl("order", "show", "--help", "-p", "live").out
    profile.write_text("no profile at all", encoding="utf-8")
    assert ordersctl("--help").code == 0
