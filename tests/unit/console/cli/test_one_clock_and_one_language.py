"""Both tools show one clock wherever they run, and what chooses zone and language has one order: flag, profile, and what is around."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from console.web.filters import writers
from tests.unit.console.cli.conftest import Ended, Ordersctl, Services

AT = "2026-11-29T20:00:00Z"
REFUND = "GET /refunds/v1/refunds/r1"


@pytest.fixture
def ordersctl(ordersctl: Ordersctl, monkeypatch: pytest.MonkeyPatch) -> Ordersctl:
    """At a terminal."""

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        return ordersctl(*arguments)

    return run


@pytest.fixture(autouse=True)
def in_tokyo(services: Services, config: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A wide terminal on a machine whose own clock is Tokyo's."""
    services.on(REFUND, {"id": "r1", "created_at": AT})
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    with monkeypatch.context() as there:
        there.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


def ask(profile: Path, line: str) -> None:
    """Have a line in the profile that is used."""
    written = profile.read_text(encoding="utf-8")
    profile.write_text(written.replace("[profiles.here]", f"[profiles.here]\n{line}"), encoding="utf-8")


def test_a_time_is_in_the_suites_zone_wherever_the_terminal_is(ordersctl: Ordersctl) -> None:
    assert "2026-11-29 23:00:00 MSK" in ordersctl("refund", "show", "r1").out
    assert ordersctl("refund", "show", "r1", "-o", "json").json["created_at"] == AT


def test_the_terminal_writes_the_same_time_as_the_console(ordersctl: Ordersctl) -> None:
    moment = datetime.fromisoformat(AT)
    page = writers(language="ru", zone=lambda: "Europe/Moscow", now=lambda: datetime.now(UTC), translate=str)["moment"](
        moment
    )
    assert page in ordersctl("refund", "show", "r1", "--language", "ru").out


def test_the_flags_zone_goes_before_the_profiles_and_that_before_the_suites(
    ordersctl: Ordersctl, profile: Path
) -> None:
    ask(profile, 'time_zone = "Asia/Omsk"')
    assert "2026-11-30 02:00:00 +06" in ordersctl("refund", "show", "r1").out
    assert "2026-11-29 20:00:00 UTC" in ordersctl("refund", "show", "r1", "--time-zone", "UTC").out


@pytest.mark.parametrize("name", ["Europe", "Mars/Olympus", "../etc/passwd"])
def test_a_zone_that_there_is_not_is_refused(name: str, ordersctl: Ordersctl, profile: Path) -> None:
    refused = ordersctl("refund", "show", "r1", "--time-zone", name)
    assert (refused.code, f"{name} is no time zone's name" in refused.remarks) == (2, True)
    ask(profile, f'time_zone = "{name}"')
    refused = ordersctl("refund", "show", "r1")
    assert (refused.code, f"time_zone: {name} is no time zone's name" in refused.remarks) == (2, True)


@pytest.mark.parametrize("typed", ["2026-11-29T23:00", "2026-11-29 23:00:00 MSK", "2026-11-29T20:00Z"])
def test_a_time_that_is_typed_is_in_the_same_zone_also_as_it_was_shown(
    typed: str, services: Services, ordersctl: Ordersctl
) -> None:
    ordersctl("audit", "--from", typed, "--service", "tips")
    assert datetime.fromisoformat(services.calls[-1].query["from"]) == datetime.fromisoformat(AT)


def test_a_time_of_another_zones_name_is_refused_and_not_taken_for_ours(ordersctl: Ordersctl) -> None:
    refused = ordersctl("audit", "--from", "2026-11-29 23:00:00 JST")
    assert (refused.code, "is no time" in refused.remarks) == (2, True)


@pytest.mark.parametrize(
    ("flag", "profiles", "terminals", "russian"),
    [
        ((), None, "C.UTF-8", False),
        ((), None, "ru_RU.UTF-8", True),
        ((), "en", "ru_RU.UTF-8", False),
        ((), "ru", "C.UTF-8", True),
        (("--language", "en"), "ru", "ru_RU.UTF-8", False),
        (("--language=ru",), "en", "C.UTF-8", True),
    ],
)
def test_help_and_output_are_in_the_same_language(
    flag: tuple[str, ...],
    profiles: str | None,
    terminals: str,
    russian: bool,
    ordersctl: Ordersctl,
    profile: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if profiles:
        ask(profile, f'language = "{profiles}"')
    monkeypatch.setenv("LC_ALL", terminals)
    assert ("ничего не найдено" in ordersctl("find", "nobody", *flag).remarks) is russian
    assert ("в журнале аудита" in ordersctl("order", "refund", "--help", *flag).out) is russian
    assert ("теперь here" in ordersctl("profile", "use", "here", *flag).remarks) is russian


def test_services_are_asked_in_peoples_language_and_programs_read_the_same(
    services: Services, ordersctl: Ordersctl
) -> None:
    for language in ("en", "ru"):
        for form in ((), ("-o", "json")):
            assert ordersctl("incident", "list", "--language", language, *form).code == 0
    assert [call.language for call in services.calls] == ["en", None, "ru", None]
