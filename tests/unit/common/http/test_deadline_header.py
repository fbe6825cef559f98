"""How long a caller waits, as the header tells it."""

import pytest
from multidict import CIMultiDict

from common.http import TIMEOUT_HEADER, timeout_header, timeout_of


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        pytest.param("250", 0.25, id="the caller's own"),
        pytest.param("1", 0.001, id="the shortest"),
        pytest.param("99999999", 2.0, id="never more than the service's own limit"),
        pytest.param(None, 2.0, id="none"),
        *(
            pytest.param(text, 2.0, id=f"misspelt: {text!r}")
            for text in ("", "0", "-5", "0.5", "1e3", "soon", "٣", "9" * 40)
        ),
    ],
)
def test_an_answer_takes_no_longer_than_the_caller_waits_or_the_service_allows(
    given: str | None, seconds: float
) -> None:
    headers = CIMultiDict({} if given is None else {TIMEOUT_HEADER.lower(): given})
    assert timeout_of(headers, at_most=2.0) == seconds


@pytest.mark.parametrize(("seconds", "text"), [(0.3, "300"), (1.2349, "1234"), (0.0001, "1")])
def test_what_a_caller_says_is_read_back(seconds: float, text: str) -> None:
    header = timeout_header(seconds)
    assert header == {TIMEOUT_HEADER: text}
    assert timeout_of(header, at_most=10.0) == int(text) / 1000
