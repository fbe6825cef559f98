"""Every time that a chat or a ticket tells is in the zone of those who read it, and says which."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common.moments import zone_named
from notifier.duty.escalation import Duty
from notifier.incidents.model import IncidentState, ProblemFact
from notifier.messages.digest_notices import render_digest
from notifier.messages.document import Document, text_of
from notifier.messages.incident_notices import (
    IncidentNow,
    render_follow_up,
    render_heartbeat,
    render_problem,
    status_line,
)
from notifier.messages.links import Links
from notifier.messages.words import Language, Words
from notifier.people.model import Directory
from notifier.settings import NotifierSettings
from notifier.tickets.model import Queues, ticket_for

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
SOURCE = Path(__file__).parents[4] / "services/notifier/src/notifier"
IN_UTC = re.compile(r"12:00|\bUTC\b|00Z")
FACT = ProblemFact(
    kind="problem.refund.error",
    severity="critical",
    fingerprint="f",
    summary="order_life 7 crashed at 2026-11-29 12:00 UTC",
    service="refunds",
    occurred_at=NOW,
    details={"calls": "2026-11-29 12:00:00Z create: declined", "since": "2026-11-29T12:00:00+00:00"},
)


def words(language: Language) -> Words:
    return Words(language, zone_named("Europe/Moscow"))


def told(document: Document) -> str:
    return "\n".join(text_of(line) for line in document.flatten())


@pytest.mark.parametrize("language", ["ru", "en"])
def test_whatever_a_chat_is_told_has_the_chats_time(language: Language) -> None:
    its = words(language)
    now = IncidentNow(
        id=1, kind="k", severity="info", state=IncidentState.RESOLVED, resolved_by="oleg", resolved_at=NOW
    )
    worst = [{"id": 5, "kind": "k", "summary": FACT.summary, "order_number": None}]
    texts = [
        *(
            told(render_problem(FACT, transition=each, environment="testing", words=its))
            for each in ("opened", "resolved")
        ),
        told(render_follow_up(FACT, sentence=FACT.summary, act="ack", environment="testing", words=its, buttons=())),
        told(render_heartbeat(NOW, environment="testing", words=its)),
        str(status_line(now, its)),
        told(
            render_digest(
                tally=[],
                worst=worst,
                opened_at=NOW,
                now=NOW + timedelta(seconds=9),
                over=False,
                environment="testing",
                words=its,
                links=Links(),
            )
        ),
        ticket_for(
            7,
            FACT,
            instructions=(),
            duty=Duty(on_duty=None),
            directory=Directory(),
            environment="testing",
            words=its,
            queues=Queues(),
        ).description,
    ]
    for text in texts:
        assert "15:00" in text
        assert "MSK" in text
        assert not IN_UTC.search(text), text


@pytest.mark.parametrize(
    ("language", "shown"), [("ru", "с 29.11.2026 15:00 MSK до 30.11.2026 03:00:05 MSK"), ("en", "2026-11-29 15:00 MSK")]
)
def test_moments_in_a_sentence_are_written_as_the_language_writes_days(language: Language, shown: str) -> None:
    said = words(language).moments("с 2026-11-29T12:00:00Z до 2026-11-30T00:00:05+00:00")
    assert shown in said
    assert words(language).moments("order:7:2026-11-29T12:00:00Z, 12:00") == "order:7:2026-11-29T12:00:00Z, 12:00"
    assert words(language).moments("2026-13-45 99:99 UTC") == "2026-13-45 99:99 UTC"


def test_no_text_of_the_notifier_names_utc_but_those_that_are_written_anew() -> None:
    named = {
        file.relative_to(SOURCE).as_posix()
        for file in [*SOURCE.rglob("*.py"), *SOURCE.rglob("*.toml")]
        for line in file.read_text(encoding="utf-8").splitlines()
        if re.search(r'"[^"]*[}0-9] UTC\b', line)
    }
    assert named == {"inputs/events.py", "inputs/watchdog.py"}  # parts of summaries and details, which are kept in UTC


def test_a_zone_that_there_is_not_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFIER_TIME_ZONE", "Mars/Olympus")
    with pytest.raises(ValueError, match="is no time zone's name"):
        NotifierSettings(tokens_file=Path("tokens.json"))
    monkeypatch.setenv("NOTIFIER_TIME_ZONE", "Asia/Omsk")
    assert NotifierSettings(tokens_file=Path("tokens.json")).time_zone == "Asia/Omsk"
