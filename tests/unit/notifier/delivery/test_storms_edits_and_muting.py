"""What goes first, what a storm does to a chat, what an edit's outcome means, what mutes a problem."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from common.errors import ConfigurationError
from notifier.channels.slack import slack_edit_limits
from notifier.channels.telegram import telegram_limits
from notifier.delivery.model import (
    ACT,
    CRITICAL,
    EDIT,
    INFORMATION,
    SHIFT,
    USUAL,
    ChatQueue,
    Digest,
    StaleMessage,
    calm,
    urgency_of,
)
from notifier.delivery.next_message import NextMessage
from notifier.delivery.outcomes import (
    After,
    AfterEdit,
    Gone,
    Moved,
    NotSent,
    Outcome,
    Refused,
    RetryPolicy,
    Sent,
    State,
    Throttled,
    TooLong,
    Unclear,
    after,
    after_edit,
)
from notifier.incidents.model import IncidentState
from notifier.messages.channels import CHANNELS
from notifier.messages.digest_notices import render_digest
from notifier.messages.document import Button, Document, Page, Span, text_of
from notifier.messages.incident_notices import STATUS_LINE_ROOM, IncidentNow, status_line
from notifier.messages.layout import slack, telegram
from notifier.messages.links import Links
from notifier.messages.words import Words
from notifier.routing.file import read_routes
from notifier.routing.model import Labels, fits, literal
from notifier.settings import DEFAULT_ROUTES
from notifier.silences.file import read_inhibitions
from notifier.silences.model import Inhibition, Silence, why_muted
from tests.support.slack_texts import as_read
from tests.unit.notifier.factories import NOW, waiting


def a_digest(**changes: Any) -> Digest:
    """A digest that is due."""
    values: dict[str, Any] = {
        "id": 1,
        "message_id": "7",
        "place": None,
        "topic": None,
        "attempts": 0,
        "wanted": 2,
        "possibly_repeated": False,
        "closing": False,
        "paged": frozenset(),
        "due": True,
        "opened_at": NOW,
    }
    return Digest(**{**values, **changes})


def a_chat(**changes: Any) -> ChatQueue:
    """A Telegram group's chat."""
    limits = telegram_limits(bot="1", chat="-1")
    values: dict[str, Any] = {
        "key": "telegram:-1",
        "address": "-1",
        "now": NOW,
        "waiting": (),
        "windows": {},
        "limits": limits,
        "edit_limits": limits,
    }
    return ChatQueue(**{**values, **changes})


def chooser(channel: str = "telegram") -> NextMessage:
    """What chooses for a channel."""
    return NextMessage(words=Words("en"), combine_above=3, storm_above=20, channel=channel)


def test_the_order_of_urgency_is_the_one_that_was_agreed() -> None:
    assert ACT < CRITICAL < SHIFT < EDIT < USUAL < INFORMATION
    assert [
        urgency_of(kind=kind, severity=severity)
        for kind, severity in (
            ("problem.x", "critical"),
            ("shift.handover", "critical"),
            ("order.created", "critical"),
            ("problem.x", "warning"),
            ("heartbeat", "info"),
        )
    ] == [CRITICAL, SHIFT, USUAL, USUAL, INFORMATION]


def test_what_is_about_problems_leaves_places_to_pages_and_orders_keep_theirs() -> None:
    group = telegram_limits(bot="1", chat="-1")[2]
    places = {
        name: [option.limits[2].places for option in chooser().options(a_chat(waiting=(each,)))]
        for name, each in {
            "warning": waiting(1),
            "critical": waiting(1, priority=CRITICAL),
            "order": waiting(1, subject="order:1", incident=None),
        }.items()
    }
    assert places == {"warning": [group.places - 5], "critical": [group.places], "order": [group.places]}
    assert calm(telegram_limits(bot="1", chat="-1")[1], 5).places == 1
    assert slack_edit_limits(workspace="w")[0].places == 50


def test_a_page_goes_before_an_edit_and_an_edit_before_a_warning() -> None:
    post = StaleMessage(
        post_id=1,
        message_id="3",
        place=None,
        topic=None,
        priority=EDIT,
        attempts=0,
        wanted=1,
        possibly_repeated=False,
        created_at=NOW,
        parts=((waiting(1), 0, 1),),
    )
    order = [
        option.priority
        for option in chooser().options(
            a_chat(waiting=(waiting(2, priority=CRITICAL),), stale=post, digests=(a_digest(),))
        )
    ]
    assert order == [CRITICAL, EDIT, EDIT]
    order = [option.priority for option in chooser().options(a_chat(waiting=(waiting(2),), stale=post))]
    assert order == [EDIT, USUAL]


def test_a_storm_begins_above_the_threshold_and_lasts_while_its_digest_is_open() -> None:
    assert chooser().storms(a_chat(problems={0: 20})) == []
    assert chooser().storms(a_chat(problems={0: 21, 7: 3})) == [None]
    assert chooser().storms(a_chat(problems={0: 1, 7: 1}, digests=(a_digest(topic=7),))) == [7]
    assert chooser().storms(a_chat(problems={0: 1}, digests=(a_digest(closing=True),))) == []
    assert chooser().storms(a_chat(problems={}, digests=(a_digest(),))) == []


def test_in_a_storm_one_critical_problem_of_each_group_is_in_the_message() -> None:
    pages = tuple(waiting(number, priority=CRITICAL, group=f"g{number % 2}") for number in range(6))
    entries, _ = chooser().entries(a_chat(waiting=pages, digests=(a_digest(due=False),)))
    assert [entry.waiting.id for entry in entries] == [0, 1]
    entries, _ = chooser().entries(a_chat(waiting=pages))
    assert [entry.waiting.id for entry in entries] == [0, 1, 2, 3, 4, 5]


def test_a_mail_digest_is_another_mail_and_a_chat_digest_is_an_edit() -> None:
    assert [chooser(channel).edits(a_digest()) for channel in ("telegram", "slack", "mail")] == [True, True, False]
    assert chooser().edits(a_digest(message_id=None)) is False


@pytest.mark.parametrize(
    ("outcome", "was_edit", "expected"),
    [
        (Sent("7", "C1"), True, AfterEdit(not_before=NOW, done=True, message_id="7", place="C1")),
        (Gone("not found"), True, AfterEdit(not_before=NOW, gone=True, reason="not found")),
        (Throttled(3), True, AfterEdit(not_before=NOW, reason="the provider's limit")),
        (Moved("-2"), True, AfterEdit(not_before=NOW, reason="the chat keeps moving")),
        (Refused("blocked", True), True, AfterEdit(not_before=NOW, given_up=True, reason="blocked", problem=True)),
        (TooLong("long"), True, AfterEdit(not_before=NOW, given_up=True, reason="long")),
        (NotSent("away"), True, AfterEdit(not_before=NOW + timedelta(seconds=1), reason="away")),
        (Unclear("silence"), True, AfterEdit(not_before=NOW + timedelta(seconds=1), reason="silence")),
        (
            Unclear("silence"),
            False,
            AfterEdit(not_before=NOW + timedelta(seconds=1), reason="silence", unclear=True),
        ),
    ],
)
def test_each_outcome_of_an_edit_has_its_consequence(outcome: Outcome, was_edit: bool, expected: AfterEdit) -> None:
    decided = after_edit(
        outcome, now=NOW, created_at=NOW, attempts=2, was_edit=was_edit, jitter=0.0, retry_policy=RetryPolicy()
    )
    assert decided == expected


def test_a_stale_edit_is_dropped_and_a_too_long_message_shrinks_before_it_fails() -> None:
    old = NOW - timedelta(hours=7)
    stale = after_edit(
        Unclear("silence"), now=NOW, created_at=old, attempts=90, was_edit=True, jitter=0.0, retry_policy=RetryPolicy()
    )
    assert (stale.given_up, stale.reason) == (True, "given up: silence")
    results = [
        after(
            TooLong("long"),
            now=NOW,
            created_at=NOW,
            attempts=1,
            shared=shared,
            jitter=0.0,
            retry_policy=RetryPolicy(),
            shrunk=shrunk,
        )
        for shared, shrunk in ((True, 0), (False, 0), (False, 3))
    ]
    assert results == [
        After(state=State.PENDING, not_before=NOW, reason="long", alone=True),
        After(state=State.PENDING, not_before=NOW, reason="long", alone=True, shrink=True),
        After(state=State.FAILED, not_before=NOW, reason="long", problem="notice"),
    ]


def test_pages_that_were_too_long_are_half_as_long_each_time() -> None:
    document = Document(title=tuple(Span(f"word {number} ") for number in range(900)))
    counts = [len(CHANNELS["telegram"].layout.pages(document, shrink=shrink)) for shrink in range(4)]
    assert counts == sorted(counts)
    assert counts[3] >= 4 * counts[0]


def test_a_standing_says_who_and_when_and_fits_its_room() -> None:
    taken = IncidentNow(
        id=1,
        kind="k",
        severity="critical",
        state=IncidentState.ACKNOWLEDGED,
        acknowledged_by="Ж" * 100,
        acknowledged_at=NOW,
    )
    for language in ("ru", "en"):
        text = status_line(taken, Words("ru" if language == "ru" else "en"))
        assert text is not None
        assert text.endswith("…, 12:00 UTC")
        assert len(text) + len("<i></i>\n") <= STATUS_LINE_ROOM
    assert status_line(None, Words("ru")) is None


def test_a_button_that_no_provider_takes_is_refused() -> None:
    for label, data in (("", "x"), ("x", ""), ("x", "ж" * 33)):
        with pytest.raises(ValueError, match="a button's"):
            Button(label=label, data=data)
    rows = ((Button(label="Mine", data="ack:1", style="primary"),), (Button(label="Done", data="res:1"),))
    blocks, _ = slack.compose([(Page(lines=((Span("x"),),)), None)], rows)
    assert [element["action_id"] for element in blocks[-1]["elements"]] == ["ack:1", "res:1"]


def test_a_person_is_tagged_as_each_channel_does_it_and_kept_in_the_log() -> None:
    line = (
        Span("Иван", handles=(("telegram", "@ivan"), ("slack", "U1"))),
        Span(" "),
        Span("Ольга", handles=(("telegram", "42"),)),
    )
    assert telegram.html(line) == '@ivan <a href="tg://user?id=42">Ольга</a>'
    assert telegram.compose([(Page(lines=(line,)), None)])[1] == "@ivan Ольга"
    assert as_read(slack.compose([(Page(lines=(line,)), None)])[0][0]) == "<@U1> Ольга"
    document = Document(title=line)
    assert Document.from_json(document.to_json()) == document


def test_a_digest_counts_by_kind_and_names_the_gravest() -> None:
    document = render_digest(
        tally=[
            {"kind": "problem.a", "severity": "critical", "state": "open", "count": 2},
            {"kind": "problem.b", "severity": "warning", "state": "open", "count": 40},
            {"kind": "problem.b", "severity": "warning", "state": "resolved", "count": 10},
        ],
        worst=[{"id": 5, "kind": "problem.a", "summary": "stuck", "order_number": "N1"}],
        opened_at=NOW,
        now=NOW + timedelta(minutes=3),
        over=False,
        environment="production",
        words=Words("en"),
        links=Links("https://console.example.org/"),
    )
    assert [span.link for line in document.flatten() for span in line if span.link is not None] == [
        "https://console.example.org/i/5",
        "https://console.example.org/incidents?state=open",
    ]
    assert [text_of(line) for line in document.flatten()] == [
        "🌪 [production] A storm of problems: 52",
        "🔴 2 · 🟠 50 · ✋ Taken: 0 · ✅ Resolved: 10",
        "Time: 12:00:00 – 12:03:00 UTC",
        "By kind:",
        "• problem.b: 50 (open: 40)",
        "• problem.a: 2 (open: 2)",
        "The gravest that are open:",
        "• #5 stuck · N1",
        "All: open",
    ]


def problem(**changes: Any) -> Labels:
    """A problem as routes see it."""
    values: dict[str, Any] = {
        "environment": "production",
        "kind": "problem.alert",
        "fingerprint": "f",
        "service": "tips",
        "named_service": "tips",
    }
    return Labels(**{**values, **changes})


def test_a_silence_holds_in_its_time_for_what_fits_and_an_empty_one_for_nothing() -> None:
    silence = Silence(
        id=3, match={"service": ("tips",)}, purpose="silence", starts_at=NOW, ends_at=NOW + timedelta(hours=1)
    )

    def why(labels: Labels, now: datetime, *silences: Silence) -> str | None:
        return why_muted(labels, now=now, silences=silences, inhibitions=(), open_incidents=())

    assert why(problem(), NOW, silence) == "silenced by silence 3 until 2026-11-21T13:00:00Z"
    assert why(problem(service="refunds"), NOW, silence) is None
    assert [why(problem(), at, silence) for at in (NOW - timedelta(seconds=1), silence.ends_at)] == [None, None]
    empty = Silence(id=4, match={}, purpose="silence", starts_at=NOW, ends_at=silence.ends_at)
    assert why(problem(), NOW, empty) is None


def test_the_default_inhibition_is_a_service_that_is_down() -> None:
    [rule] = read_inhibitions(DEFAULT_ROUTES.read_bytes(), name="default")
    down, slow = problem(alert="TipsDown", fingerprint="d"), problem(alert="TipsSlow")
    assert [rule.explains(down, slow), rule.explains(slow, down), rule.explains(down, down)] == [True, False, False]
    assert rule.explains(down, problem(alert="RefundsSlow", named_service="refunds")) is False
    why = why_muted(slow, now=NOW, silences=(), inhibitions=(rule,), open_incidents=((9, down),))
    assert why == "inhibited by incident 9 (a service that is down explains its other alerts)"


def test_a_literal_pattern_fits_its_value() -> None:
    for value in ("a*b", "!x", "[z]", "plain"):
        assert fits({"fingerprint": (literal(value),)}, problem(fingerprint=value))
    assert not fits({"fingerprint": (literal("a*b"),)}, problem(fingerprint="axxb"))


@pytest.mark.parametrize(
    ("fallback", "line"),
    [
        ("nobody", "the routes file f: destination 'a' falls back to 'nobody', which is not defined"),
        ("b", "the routes file f: destination 'a' falls back to itself"),
    ],
)
def test_a_fallback_that_leads_nowhere_is_refused_at_start(fallback: str, line: str) -> None:
    text = (
        '{"destinations": {"a": {"channel": "telegram", "address": "-1", "fallback": "%s"},'
        ' "b": {"channel": "telegram", "address": "-2", "fallback": "a"}}, "routes": []}'
    )
    with pytest.raises(ConfigurationError) as caught:
        read_routes(text % fallback, name="f")
    assert caught.value.detail == line


def test_an_inhibition_needs_a_source_and_a_target() -> None:
    rule = Inhibition(name="r", source={"kind": ("problem.a",)}, target={"kind": ("problem.b",)}, equal=("zone",))
    source = problem(kind="problem.a", fingerprint="1", zone="m", named_service="tips")
    assert rule.explains(source, problem(kind="problem.b", zone="m", named_service="tips"))
    assert not rule.explains(source, problem(kind="problem.b", zone="k", named_service="tips"))
    for elsewhere in ("refunds", None):  # a rule that does not compare services compares them all the same
        assert not rule.explains(source, problem(kind="problem.b", zone="m", named_service=elsewhere))
