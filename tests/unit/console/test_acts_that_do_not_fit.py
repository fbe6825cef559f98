"""What is not offered in a state is what the services' own rules refuse in it, no more and no less."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from common.errors import Conflict
from console.client.acts import ACTS
from console.client.fit import REFUSED_IN, unfit, unfit_for_all
from notifier.incidents import model as incidents
from orchestrator.engine.model import EventState
from orchestrator.orders.model import HookType, Status
from orchestrator.orders.transitions import CHANGING, TRANSITIONS
from refunds.refunds import close
from refunds.refunds.states import RefundState
from webhook_gateway.rescue import model as rescue

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
EVENTS = {state.name.lower() for state in EventState}
REFUNDS = {state.name for state in RefundState}


def refused(states: Any, act: Callable[[Any], object]) -> set[str]:
    """The states in which a service's own rule raises ``Conflict``."""

    def refuses(state: Any) -> bool:
        try:
            act(state)
        except Conflict:
            return True
        return False

    return {str(state) for state in states if refuses(state)}


def rescued(act: rescue.Act) -> set[str]:
    """The states in which an endangered order, without a number, refuses an act."""
    return refused(rescue.State, lambda state: rescue.after(state, act, number=None))


def kept_back(hook: str) -> set[str]:
    """The statuses in which an operator's event changes nothing of the order."""
    return {str(status) for status in Status if TRANSITIONS[status, HookType[hook]] not in CHANGING}


@pytest.mark.parametrize(
    ("act", "states"),
    [
        ("incident ack", refused(incidents.IncidentState, lambda s: incidents.acknowledge(s, by="a", holder="a"))),
        ("incident resolve", refused(incidents.IncidentState, incidents.resolve)),
        *((f"order {verb}", kept_back(hook)) for verb, hook in (("cancel", "CANCELLED"), ("deliver", "DELIVERED"))),
        *((f"endangered {act}", rescued(act)) for act in rescue.Act),
        ("refund restart", REFUNDS - {RefundState.ERROR.name}),
        ("refund close", REFUNDS - {state.name for state in close._CLOSABLE}),
        *((f"event {verb}", EVENTS - {"failed"}) for verb in ("skip", "mend")),
        ("event reprocess", EVENTS - {"done"}),
    ],
)
def test_an_act_is_kept_back_in_just_the_states_that_refuse_it(act: str, states: set[str]) -> None:
    assert states
    assert REFUSED_IN[act] == states


def test_every_rule_is_of_an_act_that_there_is() -> None:
    assert {act for act in REFUSED_IN if not act.startswith("dead-letter ")} <= set(ACTS)


@pytest.mark.parametrize(
    ("act", "item", "why"),
    [
        (
            "workflow retry",
            {"state_name": "running", "refusals": {"retry": "only a crashed one"}},
            "only a crashed one",
        ),
        ("workflow stop", {"state_name": "running", "refusals": {"retry": "only a crashed one"}}, None),
        ("event reprocess", {"state_name": "skipped"}, "skipped"),
        ("order reissue", {"status": "created"}, "created"),
        ("order refund", {"status": "paid", "payment": {"id": None}}, "no_payment"),
        ("order refund", {"status": "paid", "payment": {"id": "pay-1"}}, None),
        ("order refund", {"status": "paid"}, None),
        ("order cancel", {"status": "delivered"}, None),
        ("event reprocess", {"state_name": "done"}, None),
        ("event skip", {"state_name": "a state of the next release"}, None),
        ("silence end", {"ends_at": "2026-11-30T08:59:00Z"}, "over"),
        ("silence end", {"ends_at": "2026-11-30T09:01:00Z"}, None),
        ("known-defect end", {"ended_at": None}, None),
        ("difference adopt", {"over_at": None, "acknowledged_at": "2026-11-29T09:00:00Z"}, "over"),
        ("intake dismiss", {"outcome": "quarantined", "decision": "replayed"}, None),
        ("intake dismiss", {"outcome": "quarantined", "decision": "dismissed"}, "dismissed"),
        ("intake replay", {"outcome": "quarantined", "decision": "replayed"}, "replayed"),
        ("intake replay", {"outcome": "quarantined", "decision": "dismissed"}, "dismissed"),
        ("intake replay", {"outcome": "confirmed", "decision": "replayed"}, None),
        ("intake dismiss", {"outcome": "quarantined", "decision": None}, None),
        ("dead-letter replay", {"state": "dismissed"}, "dismissed"),
    ],
)
def test_a_thing_says_why_an_act_does_not_fit(act: str, item: dict[str, Any], why: str | None) -> None:
    assert unfit(act, item, now=NOW) == why


def test_of_many_an_act_is_kept_back_only_where_it_fits_none() -> None:
    over, open_ = {"state": "resolved"}, {"state": "open"}
    assert unfit_for_all("incident ack", [over, over], now=NOW) == "resolved"
    assert unfit_for_all("incident ack", [over, open_], now=NOW) is None
    assert unfit_for_all("incident ack", [], now=NOW) is None
