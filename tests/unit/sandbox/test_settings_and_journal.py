"""Settings from arguments and environment, and the journal's pages."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from sandbox.log import Journal, kept_headers
from sandbox.settings import from_sources

NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)


def test_arguments_stand_over_the_environment() -> None:
    settings = from_sources(
        {"port": "1", "smtp_port": None},
        {"SANDBOX_PORT": "2", "SANDBOX_SMTP_PORT": "3", "SANDBOX_HOOK_SCHEDULE": "0.1, 0.2", "OTHER": "x"},
    )
    assert (settings.port, settings.smtp_port, settings.hook_schedule) == (1, 3, (0.1, 0.2))


def test_several_gateways_are_separated_by_commas() -> None:
    settings = from_sources({}, {"SANDBOX_GATEWAY_URL": "http://a:1/, http://b:2"})
    assert settings.gateway_urls == ("http://a:1", "http://b:2")


def test_by_default_a_hook_is_repeated_seven_times_at_growing_intervals() -> None:
    settings = from_sources({}, {})
    assert (settings.hook_timeout_s, len(settings.hook_schedule)) == (5.0, 7)
    assert list(settings.hook_schedule) == sorted(set(settings.hook_schedule))


@pytest.mark.parametrize("environment", [{"SANDBOX_PORT": "many"}, {"SANDBOX_HOOK_SCHEDULE": "1,-1"}])
def test_a_wrong_setting_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        from_sources({}, environment)


def journal(limit: int = 10, entries: int = 3) -> Journal:
    kept = Journal(limit=limit)
    for index in range(entries):
        kept.record(
            time=NOW,
            operation="op",
            method="POST",
            path="/x",
            request=b'{"index": %d}' % index,
            status=200,
            answer={"ok": True},
            headers={"traceparent": "00-a-b-01"},
        )
    return kept


def test_an_entry_shows_time_request_answer_and_trace() -> None:
    assert journal(entries=1).page()["items"] == [
        {
            "seq": 1,
            "time": "2026-11-21T07:00:00+00:00",
            "operation": "op",
            "method": "POST",
            "path": "/x",
            "query": {},
            "headers": {"traceparent": "00-a-b-01"},
            "traceparent": "00-a-b-01",
            "request": {"index": 0},
            "status": 200,
            "answer": {"ok": True},
            "fault": None,
            "effect": True,
        }
    ]


def test_pages_follow_each_other_until_there_is_no_more() -> None:
    kept = journal(entries=3)
    first = kept.page(limit=2)
    second = kept.page(after=first["next_cursor"], limit=2)
    assert ([entry["seq"] for entry in first["items"]], first["next_cursor"]) == ([1, 2], 2)
    assert ([entry["seq"] for entry in second["items"]], second["next_cursor"]) == ([3], None)


@pytest.mark.parametrize("far", [2**63, 10**30])
def test_a_page_beyond_the_end_is_empty_and_one_without_end_is_whole(far: int) -> None:
    kept = journal(entries=3)
    assert (kept.page(after=far)["items"], kept.page(limit=far)["items"]) == ([], kept.page()["items"])


def test_numbers_go_on_after_clearing() -> None:
    kept = journal(entries=2)
    kept.clear()
    kept.record(time=NOW, operation="op", method="GET", path="/", request=None, status=None, answer=None)
    assert [entry["seq"] for entry in kept.page()["items"]] == [3]


def test_the_oldest_entries_go_first_and_are_counted() -> None:
    page = journal(limit=2, entries=5).page()
    assert ([entry["seq"] for entry in page["items"]], page["dropped"]) == ([4, 5], 3)


def test_credentials_are_never_kept() -> None:
    headers = {"Authorization": "Bearer x", "X-Service-Token": "x", "Client-token": "x", "Traceparent": "t"}
    assert kept_headers(headers) == {"traceparent": "t"}
