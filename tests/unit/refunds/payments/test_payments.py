"""Whether a refund fits into its payment, and at which gateway a payment is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refunds.payments.model import (
    CurrencyMismatch,
    DoesNotFit,
    ExceedsCaptured,
    GatewayRoutes,
    NothingCaptured,
    NothingLeft,
    Payment,
    fit,
)

PAYMENT = Payment(payment_id="p-1", gateway="trust", captured=10_000, currency="RUB", reserved=4_000)


@pytest.mark.parametrize(
    ("payment", "amount", "fitting"),
    [
        pytest.param(PAYMENT, 6_000, 6_000, id="what is left"),
        pytest.param(PAYMENT, None, 6_000, id="everything means what is left"),
        pytest.param(
            PAYMENT,
            6_001,
            ExceedsCaptured("60.01 is more than the 60.00 RUB left of the captured 100.00 RUB"),
            id="one more than is left",
        ),
        pytest.param(
            replace(PAYMENT, reserved=10_000),
            None,
            NothingLeft("all of the captured 100.00 RUB is refunded or on its way"),
            id="nothing is left",
        ),
        pytest.param(
            replace(PAYMENT, captured=0, reserved=0),
            1,
            NothingCaptured("nothing was captured: the payment is to be cancelled, not refunded"),
            id="nothing was captured",
        ),
        pytest.param(
            replace(PAYMENT, currency="KZT"),
            1,
            CurrencyMismatch("the payment is in KZT, the refund in RUB"),
            id="another currency",
        ),
        pytest.param(replace(PAYMENT, captured=None, currency=None, reserved=0), 1, None, id="not known yet"),
    ],
)
def test_a_refund_fits_what_is_left_of_the_payment(
    payment: Payment, amount: int | None, fitting: int | DoesNotFit | None
) -> None:
    found = fit(payment, amount=amount, currency="RUB")
    if isinstance(fitting, DoesNotFit):
        assert isinstance(found, DoesNotFit)
        assert (type(found), found.detail) == (type(fitting), fitting.detail)
    else:
        assert found == fitting


@pytest.mark.parametrize(
    ("currency", "told"),
    [
        pytest.param("KWD", "6.001 is more than the 6.000 KWD left of the captured 10.000 KWD", id="three digits"),
        pytest.param("XQQ", "6001 is more than the 6000 XQQ left of the captured 10000 XQQ", id="one nobody knows"),
    ],
)
def test_why_it_does_not_fit_is_told_in_the_digits_of_its_currency(currency: str, told: str) -> None:
    found = fit(replace(PAYMENT, currency=currency), amount=6_001, currency=currency)
    assert isinstance(found, ExceedsCaptured)
    assert found.detail == told


@given(
    captured=st.integers(min_value=1, max_value=10**9),
    requests=st.lists(st.one_of(st.none(), st.integers(min_value=1, max_value=10**9)), max_size=30),
)
def test_whatever_is_requested_never_more_than_captured_is_given(captured: int, requests: list[int | None]) -> None:
    payment = replace(PAYMENT, captured=captured, reserved=0)
    for amount in requests:
        fitting = fit(payment, amount=amount, currency="RUB")
        if isinstance(fitting, int):
            assert fitting > 0
            payment = replace(payment, reserved=payment.reserved + fitting)
    assert 0 <= payment.reserved <= captured


def test_the_payment_id_then_the_source_decide_the_gateway() -> None:
    routes = GatewayRoutes("trust", of_payment={"yk-": "yookassa", "yk-t-": "trust"}, of_source={"site": "yookassa"})
    found = [
        routes.choose(payment_id, source=source)
        for payment_id, source in (("yk-1", None), ("yk-t-1", "site"), ("p-1", "site"), ("p-1", None))
    ]
    assert found == ["yookassa", "trust", "yookassa", "trust"]
    assert routes.names == {"trust", "yookassa"}
