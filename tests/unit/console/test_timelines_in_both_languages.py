"""Every line of an order's timeline, and every reason that the notifier gives, is read in one language: that of who reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from console.cli.output import readable
from console.client import times
from console.client.late import late
from console.client.sentences import sentences
from console.client.timeline import told
from console.client.words import label, words
from console.web.filters import writers
from notifier.messages.otherwise import otherwise, recogniser
from notifier.messages.problem_words import PHRASES
from notifier.messages.words import languages
from tests.support.timeline_lines import reasons, written

ENGLISH = re.compile(r"[A-Za-z']{3,} [a-z']{2,}")
RUSSIAN = re.compile("[А-Яа-яЁё]")
LINES = sorted({text for texts in written().values() for text in texts if re.search("[a-z]{2} [a-z]{2}", text)})
ACTS = [key for key in languages()["en"] if key.startswith("history.")]
GROUP = re.compile(r"(?<!\\)\((?:[^()]|\(\?:[^()]*\))*(?<!\\)\)(?:\.\*)?")


def line(kind: str, summary: str, /, **details: str) -> Mapping[str, object]:
    return {"service": "s", "actor": "a", "kind": kind, "summary": summary, "details": details}


def test_every_module_that_writes_lines_is_looked_at() -> None:
    found = written()
    assert {"messages.py", "follow.py", "journal.py", "record.py", "transition.py", "follow_up.py"} <= found.keys()
    assert {"support_desk.py", "change_ticket.py", "dead_letters.py", "issue.py", "store.py"} <= found.keys()
    assert len(LINES) > 60


@pytest.mark.parametrize("summary", LINES)
def test_a_line_of_a_service_is_stored_in_english_and_read_in_russian(summary: str) -> None:
    assert not RUSSIAN.search(summary)
    shown = told(line("any.kind", summary.replace("{}", "x7")), language="ru")
    assert RUSSIAN.search(shown)
    assert not ENGLISH.search(shown), shown


@pytest.mark.parametrize("act", ACTS)
def test_what_was_done_about_an_incident_is_read_in_russian_too(act: str) -> None:
    english = languages()["en"][act].format(who="Ann")
    shown = told(line(act.replace("history", "incident"), english), language="ru")
    assert not ENGLISH.search(shown), shown
    assert told(line(act.replace("history", "incident"), english), language="en") == english


@pytest.mark.parametrize("act", ["called", "opened", "reminded"])
def test_a_line_of_history_that_goes_on_is_read_in_russian_too(act: str) -> None:
    texts = {language: languages()[language][f"history.{act}"].rstrip() for language in ("en", "ru")}
    assert sentences("ru")(f"{texts['en']}: Anna") == f"{texts['ru']}: Anna"
    for kind in (act, f"incident.{act}"):
        assert RUSSIAN.search(words("ru").gettext(label(kind)))


SAYS = [
    "the orchestrator decided that nobody is told",
    "event 3 was skipped by oleg",
    "there are likely duplicates within a day: A-1 (same name and phone and email and basket); B-2 (same phone)",
    "A-1 (same name and phone and email); A-2 (same phone and basket); with despite_duplicates it is done all the same",
]


@pytest.mark.parametrize("said", SAYS)
def test_a_refusal_is_read_in_one_language(said: str) -> None:
    shown = sentences("ru")(said)
    assert RUSSIAN.search(shown)
    assert not ENGLISH.search(shown.replace("event 3", "")), shown


OWN = ("ack.", "button.ack", "nobody.", "phone.nobody", "recipe.no_token", "recipe.re", "ticket.closed", "ticket.in_")


@pytest.mark.parametrize("key", [key for key in languages()["ru"] if key.startswith(OWN)])
def test_what_the_notifier_notes_in_russian_is_read_in_both_languages(key: str) -> None:
    values = dict.fromkeys(("who", "target", "recipe", "incident"), "x7")
    noted = languages()["ru"][key].format(**values)
    english = recogniser("ru", "en")(noted)
    assert not RUSSIAN.search(english)
    assert RUSSIAN.search(sentences("ru")(english))


@pytest.mark.parametrize("kind", ["problem.alert", "workflow.crashed"])
def test_an_incidents_history_is_read_in_the_readers_language_but_for_remarks(kind: str) -> None:
    ours = languages()["ru"]
    texts = [ours["button.ack"], ours["nobody.backup"], ours["nobody.backup"]]
    history = [{"act": act, "text": text} for act, text in zip(("ack", "nobody", "comment"), texts, strict=True)]
    runs = [{"person": "oleg", "result": ours["recipe.no_token"].format(who="Олег")}]
    row: dict[str, object] = {
        "kind": kind,
        "order_number": None,
        "source": None,
        "summary": "s",
        "instruction": None,
        "details": {},
    }
    read = otherwise({**row, "history": history, "recipes": runs}, kept_in="ru", language="en")
    assert [line["text"] for line in read["history"]] == ["✋ Mine, don't call", "there is no backup", texts[2]]
    assert read["recipes"][0]["result"] == "Олег has no key for this operation"


@pytest.mark.parametrize("pattern", [pattern for pattern, said in PHRASES if "ru" in said])
def test_a_phrase_that_chats_hear_in_russian_is_read_in_russian(pattern: str) -> None:
    english = re.sub(r"\\(.)", r"\1", GROUP.sub("x7", pattern)).removesuffix(".*")
    shown = sentences("ru")(english)
    assert RUSSIAN.search(shown)
    assert not ENGLISH.search(shown), shown


@pytest.mark.parametrize("reason", sorted(reason for reason in reasons() if re.search("[a-z] [a-z]", reason)))
def test_why_a_message_was_not_sent_is_read_in_russian(reason: str) -> None:
    shown = sentences("ru")(reason.replace("{}", "x7"))
    assert RUSSIAN.search(shown)
    assert not ENGLISH.search(shown.replace("Slack", "").replace("Telegram", "").replace("Twilio", "")), shown


@pytest.mark.parametrize(
    ("kind", "summary", "details", "english", "russian"),
    [
        (
            "chat_message.sent",
            "order.created → pickers (telegram)",
            {"kind": "order.created", "destination": "pickers", "channel": "telegram", "message_id": "7"},
            "order created → pickers (telegram)",
            "новый заказ → pickers (telegram)",
        ),
        (
            "chat_message.failed",
            "order.created → pickers (telegram)",
            {"kind": "order.created", "destination": "pickers", "channel": "telegram", "why": "the chat moved"},
            "order created → pickers (telegram): the chat moved",
            "новый заказ → pickers (telegram): чат переехал",
        ),
        (
            "hook.received",
            "order.paid: quarantined",
            {"event": "order.paid", "outcome": "quarantined"},
            "order.paid: quarantined",
            "order.paid: в карантине",
        ),
        (
            "refund.error",
            "Refund r1: ERROR (no definite answer for too long)",
            {"refund_id": "r1", "detail": "no definite answer for too long"},
            "refund r1: error: no definite answer for too long",
            "возврат r1: ошибка: слишком долго нет определённого ответа",
        ),
    ],
)
def test_a_line_of_codes_is_made_of_its_kind_and_details(
    kind: str, summary: str, details: dict[str, str], english: str, russian: str
) -> None:
    assert told(line(kind, summary, **details), language="en") == english
    assert told(line(kind, summary, **details), language="ru") == russian


def test_a_persons_reason_and_a_line_of_another_release_stay_as_they_are() -> None:
    assert told(line("order.refund", "nobody", role="operator"), language="ru") == "nobody"
    assert told(line("order.hoisted", "It was hoisted"), language="ru") == "It was hoisted"
    old = line("refund.error", "Refund r1: ERROR (declined)", refund_id="r1")
    assert told(old, language="en") == "Refund r1: ERROR (declined)"


@pytest.mark.parametrize(
    "written_", ["2026-11-29T20:00:00Z", "2026-11-29T20:00:00+00:00", "2026-11-29 20:00:00 UTC", "2026-11-29 20:00:00Z"]
)
@pytest.mark.parametrize(("language", "shown"), [("en", "29 Nov 2026, 23:00:00 MSK"), ("ru", "29 нояб. 2026")])
def test_a_moment_in_a_sentence_is_in_the_readers_zone(written_: str, language: str, shown: str) -> None:
    says = writers(language=language, zone=lambda: "Europe/Moscow", now=lambda: datetime.now(UTC), translate=str)[
        "sentence"
    ]
    said = says(f"silenced by silence 5 until {written_}, as order:7:{written_} says")
    assert shown in said
    assert said.endswith(f"order:7:{written_} says")


@pytest.mark.parametrize(("language", "days", "now"), [("en", "2 days", "just now"), ("ru", "2 дня", "только что")])
def test_how_long_something_took_is_told_as_people_say_it(language: str, days: str, now: str) -> None:
    sent = "2026-12-01T20:00:00Z"
    waited = "172800 s before the orchestrator: its queue waited; 45 s in the notifier"
    copy = {"sent_at": sent, "received_at": "2026-11-29T19:59:15Z", "waited": waited}
    shown = str(late(copy, language=language, zone=ZoneInfo("UTC"), translate=words(language).gettext))
    assert shown.count(days) == 2
    assert "172800" not in shown
    assert ("45 seconds" in shown, "45 секунд" in shown) == (language == "en", language == "ru")
    assert readable({"waited": waited, "oldest_seconds": 172800.0}, "waited", language=language).startswith(days)
    assert readable({"oldest_seconds": 172800.0}, "oldest_seconds", language=language) == days
    at = datetime.fromisoformat(sent)
    assert times.ago(at, at, language=language) == now
