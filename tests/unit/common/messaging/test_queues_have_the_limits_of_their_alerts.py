"""A queue of the broker is late from the figure on at which its alert fires."""

from __future__ import annotations

import pytest

from common.messaging.topology import QUEUES
from common.service import WaitingQueue
from tests.support.alert_thresholds import most_messages


def test_each_limit_of_a_queue_is_the_one_of_its_alert() -> None:
    limits = {spec.name: spec.late_above for spec in QUEUES if spec.late_above is not None}
    assert limits
    assert limits == most_messages()


@pytest.mark.parametrize(("waiting", "state"), [(0, "empty"), (10_000, "waiting"), (10_001, "late"), (None, "unknown")])
def test_a_queue_is_late_when_more_wait_than_its_limit(waiting: int | None, state: str) -> None:
    assert WaitingQueue(name="messages.q", waiting=waiting, late_above=10_000).state == state
    assert WaitingQueue(name="messages.q", waiting=waiting).state == ("waiting" if state == "late" else state)
