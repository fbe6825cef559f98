"""The state machine of refunds: total, and exactly the moves that the design names."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refunds.refunds.states import TABLE, Happened, Move, RefundState, Refuse, Stay, releases, rule

S, H = RefundState, Happened

MOVES = {
    (S.CREATE, H.FITS, S.SENDING),
    (S.CREATE, H.DOES_NOT_FIT, S.REJECTED),
    (S.CREATE, H.CANCELLED, S.CANCELLED),
    (S.CREATE, H.GAVE_UP, S.ERROR),
    (S.SENDING, H.ACCEPTED, S.PENDING),
    (S.SENDING, H.SUCCEEDED, S.SUCCESS),
    (S.SENDING, H.FAILED, S.DECLINED),
    (S.SENDING, H.NO_ANSWER, S.UNKNOWN),
    (S.SENDING, H.GAVE_UP, S.ERROR),
    (S.PENDING, H.SUCCEEDED, S.SUCCESS),
    (S.PENDING, H.FAILED, S.DECLINED),
    (S.UNKNOWN, H.NOT_STARTED, S.SENDING),
    (S.UNKNOWN, H.ACCEPTED, S.PENDING),
    (S.UNKNOWN, H.SUCCEEDED, S.SUCCESS),
    (S.UNKNOWN, H.FAILED, S.DECLINED),
    (S.UNKNOWN, H.GAVE_UP, S.ERROR),
    (S.DECLINED, H.RETRIED, S.CREATE),
    (S.DECLINED, H.GAVE_UP, S.ERROR),
    (S.SUCCESS, H.FAILED, S.REVERSED),
    (S.ERROR, H.RESTARTED, S.CREATE),
    (S.ERROR, H.ACCEPTED, S.PENDING),
    (S.ERROR, H.SUCCEEDED, S.SUCCESS),
    (S.ERROR, H.CLOSED, S.CLOSED),
    (S.CLOSED, H.CLOSED, S.CLOSED),
    (S.CLOSED, H.ACCEPTED, S.PENDING),
    (S.CLOSED, H.SUCCEEDED, S.SUCCESS),
    (S.CLOSED, H.FAILED_AFTER_CLOSE, S.CLOSED),
    (S.PENDING, H.FAILED_AFTER_CLOSE, S.CLOSED),
    (S.SUCCESS, H.FAILED_AFTER_CLOSE, S.CLOSED),
    (S.ERROR, H.ADOPTED, S.SUCCESS),
    (S.CLOSED, H.ADOPTED, S.SUCCESS),
    (S.REVERSED, H.ADOPTED, S.SUCCESS),
}


def test_every_state_has_an_answer_to_every_event() -> None:
    assert {state: set(row) for state, row in TABLE.items()} == {state: set(Happened) for state in RefundState}


def test_the_moves_are_those_of_the_design_and_no_others() -> None:
    moves = {
        (state, happened, ruling.to)
        for state, row in TABLE.items()
        for happened, ruling in row.items()
        if isinstance(ruling, Move)
    }
    assert moves == MOVES


def test_what_is_no_move_says_why() -> None:
    others = [ruling for row in TABLE.values() for ruling in row.values() if isinstance(ruling, Stay | Refuse)]
    assert all(ruling.why for ruling in others)


def test_the_numbers_that_operators_know_stand() -> None:
    assert (S.CREATE.value, S.ERROR.value) == (2, 7)


def test_a_sum_is_released_only_when_it_is_proven_not_to_have_gone_out() -> None:
    released = {(state, to) for state, _, to in MOVES if releases(state, to)}
    assert released == {
        (S.CREATE, S.REJECTED),
        (S.CREATE, S.CANCELLED),
        (S.CREATE, S.ERROR),
        (S.DECLINED, S.ERROR),
        (S.SUCCESS, S.REVERSED),
    }


@given(walk=st.lists(st.sampled_from(Happened), max_size=60))
def test_only_an_operator_brings_a_refund_back_from_error_without_the_gateway(walk: list[Happened]) -> None:
    state = S.CREATE
    for happened in walk:
        ruling = rule(state, happened)
        if not isinstance(ruling, Move):
            continue
        if state is S.ERROR:
            assert happened in {H.RESTARTED, H.ACCEPTED, H.SUCCEEDED, H.CLOSED, H.ADOPTED}
        if state is S.REJECTED or (state is S.REVERSED and happened is not H.ADOPTED):
            pytest.fail(f"{state.name} is the end, yet {happened} led on")
        state = ruling.to


@given(walk=st.lists(st.sampled_from(Happened), max_size=60))
def test_nothing_is_sent_again_for_a_refund_that_people_closed(walk: list[Happened]) -> None:
    """Once closed, a failure at the gateway leads back to CLOSED (``ApplyAnswer``); no move leads to sending."""
    state = S.CLOSED
    for happened in walk:
        if happened is H.FAILED:
            happened = H.FAILED_AFTER_CLOSE
        ruling = rule(state, happened)
        state = ruling.to if isinstance(ruling, Move) else state
        assert state in {S.CLOSED, S.PENDING, S.SUCCESS}


@given(walk=st.lists(st.sampled_from(Happened), max_size=60))
def test_nothing_is_tried_again_before_it_definitely_failed(walk: list[Happened]) -> None:
    """From SENDING on, CREATE (a new key) comes only after DECLINED, or after an operator's restart of an ERROR."""
    state, path = S.CREATE, [S.CREATE]
    for happened in walk:
        ruling = rule(state, happened)
        if isinstance(ruling, Move):
            state = ruling.to
            path.append(state)
    for before, after in itertools.pairwise(path):
        if after is S.CREATE:
            assert before in {S.DECLINED, S.ERROR}
