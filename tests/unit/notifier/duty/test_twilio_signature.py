"""Twilio's signature, as its documentation shows it."""

from __future__ import annotations

import pytest

from notifier.duty.twilio import is_signed, signature_of

URL = "https://mycompany.com/myapp.php?foo=1&bar=2"


@pytest.mark.parametrize(
    ("number", "expected"),
    [("+14158675309", "RSOYDt4T1cUTdK1PDd93/VVr8B8="), ("+14158675310", "GvWf1cFY/Q7PnoempGyD5oXAezc=")],
)
def test_a_callback_is_signed_as_published(number: str, expected: str) -> None:
    fields = {
        "To": ["+18005551212"],
        "From": [number],
        "Caller": [number],
        "Digits": ["1234"],
        "CallSid": ["CA1234567890ABCDE"],
    }
    assert signature_of(URL, fields, token="12345") == expected
    assert is_signed(URL, fields, expected, token="12345")
    for wrong in (None, "", "é", expected[:-1], expected.swapcase()):
        assert not is_signed(URL, fields, wrong, token="12345")
