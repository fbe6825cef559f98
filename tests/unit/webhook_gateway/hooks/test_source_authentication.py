"""Who may send hooks: the vectors of Standard Webhooks, rotation, and malformed proofs that must not raise."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict
from standardwebhooks import Webhook

from webhook_gateway.hooks.authentication import Authenticator, Basic, ClientToken, StandardWebhooks

VECTORS = json.loads((Path(__file__).parent / "standard_webhooks_vectors.json").read_text())
FIRST = VECTORS["valid"][0]
NOW = datetime.fromtimestamp(int(FIRST["timestamp"]), UTC)


def signed(vector: dict[str, str], **changes: str) -> CIMultiDict[str]:
    values = {**vector, **changes}
    return CIMultiDict(
        {
            "Webhook-Id": values["id"],
            "Webhook-Timestamp": values["timestamp"],
            "Webhook-Signature": values["signature"],
        }
    )


def is_genuine(authenticator: Authenticator, headers: CIMultiDict[str], body: bytes, *, now: datetime) -> bool:
    """Take both steps, as the routes do."""
    return authenticator.head_is_genuine(headers) and authenticator.body_is_genuine(headers, body, now=now)


@pytest.mark.parametrize("vector", VECTORS["valid"])
def test_the_valid_vectors_of_standard_webhooks_are_genuine(vector: dict[str, str]) -> None:
    now = datetime.fromtimestamp(int(vector["timestamp"]), UTC)
    assert is_genuine(StandardWebhooks([vector["secret"]]), signed(vector), vector["body"].encode(), now=now)


@pytest.mark.parametrize("signature", VECTORS["invalid_signature_headers"])
def test_the_invalid_signatures_are_not_genuine(signature: str) -> None:
    headers = signed(FIRST, signature=signature)
    assert not is_genuine(StandardWebhooks([FIRST["secret"]]), headers, FIRST["body"].encode(), now=NOW)


@pytest.mark.parametrize("stamp", ["hello", "", "1e9999", "-1", "1614265330.0", "٣", "1" * 400])
def test_the_invalid_timestamps_are_not_genuine(stamp: str) -> None:
    headers = signed(FIRST, timestamp=stamp)
    assert not is_genuine(StandardWebhooks([FIRST["secret"]]), headers, FIRST["body"].encode(), now=NOW)


@pytest.mark.parametrize(("seconds", "genuine"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
def test_a_stamp_is_good_for_five_minutes_both_ways(seconds: int, genuine: bool) -> None:
    now = NOW + timedelta(seconds=seconds)
    assert is_genuine(StandardWebhooks([FIRST["secret"]]), signed(FIRST), FIRST["body"].encode(), now=now) is genuine


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_not_genuine(missing: str) -> None:
    headers = signed(FIRST)
    del headers[missing]
    assert not is_genuine(StandardWebhooks([FIRST["secret"]]), headers, FIRST["body"].encode(), now=NOW)


def test_one_good_signature_is_enough_and_old_secrets_stay_valid_in_rotation() -> None:
    headers = signed(FIRST, signature=f"v1,AAAA v2,x garbage {FIRST['signature']}")
    book = StandardWebhooks([VECTORS["valid"][1]["secret"], FIRST["secret"]])
    assert is_genuine(book, headers, FIRST["body"].encode(), now=NOW)


def test_bodies_that_are_not_text_are_verified_byte_for_byte() -> None:
    assert not is_genuine(StandardWebhooks([FIRST["secret"]]), signed(FIRST), b"\xff\xfe\x00", now=NOW)


@settings(deadline=None)
@given(st.text(max_size=60), st.integers(0, 2**31))
def test_what_the_reference_library_signs_is_genuine(body: str, stamp: int) -> None:
    moment = datetime.fromtimestamp(stamp, UTC)
    signature = Webhook(FIRST["secret"]).sign("msg_1", moment, body)
    headers = signed({"id": "msg_1", "timestamp": str(stamp), "signature": signature})
    assert is_genuine(StandardWebhooks([FIRST["secret"]]), headers, body.encode(), now=moment)


@settings(deadline=None)
@given(st.text(), st.text(), st.text(), st.binary())
def test_no_header_makes_the_verifier_raise(message: str, stamp: str, signature: str, body: bytes) -> None:
    headers = signed({"id": message, "timestamp": stamp, "signature": signature})
    assert not is_genuine(StandardWebhooks([FIRST["secret"]]), headers, body, now=NOW)


@pytest.mark.parametrize("secret", ["whsec_", "", "whsec_%%%", "é"])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        StandardWebhooks([secret])


@pytest.mark.parametrize(
    ("given_token", "genuine"),
    [
        ("new", True),
        ("old", True),
        ("", False),
        ("older", False),
        ("n\u00e9w", False),
        ("\udcff", False),
        (None, False),
    ],
)
def test_both_tokens_of_a_rotation_are_valid_and_nothing_else_is(given_token: str | None, genuine: bool) -> None:
    headers = CIMultiDict({} if given_token is None else {"Client-Token": given_token})
    assert is_genuine(ClientToken(["new", "old"]), headers, b"", now=NOW) is genuine
    # As digests, text beside them: what stands in the file is no proof.
    digests = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in (b"new", b"old")]
    for entries in ([digests[0], "old"], digests, [digests[0].upper().replace("SHA", "sha"), digests[1]]):
        assert is_genuine(ClientToken(entries), headers, b"", now=NOW) is genuine
    assert not is_genuine(ClientToken(digests), CIMultiDict({"Client-Token": digests[0]}), b"", now=NOW)


@pytest.mark.parametrize("half", ["sha256:", "sha256:abc", f"sha256:{'g' * 64}", f"sha256:{'0' * 65}"])
def test_half_a_digest_is_refused_and_never_taken_for_a_token(half: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        ClientToken([half])


def encoded(pair: str) -> str:
    return base64.b64encode(pair.encode()).decode()


@pytest.mark.parametrize(
    ("header", "genuine"),
    [
        (f"Basic {encoded('shop:secret')}", True),
        (f"basic {encoded('shop:old')}", True),
        (f"Basic {encoded('shop:wrong')}", False),
        (f"Basic {encoded('shop')}", False),
        (f"Bearer {encoded('shop:secret')}", False),
        ("Basic", False),
        ("Basic %%%", False),
        ("Basic é", False),
        ("", False),
        (None, False),
    ],
)
def test_basic_takes_the_configured_pairs_only(header: str | None, genuine: bool) -> None:
    headers = CIMultiDict({} if header is None else {"Authorization": header})
    assert is_genuine(Basic([("shop", "secret"), ("shop", "old")]), headers, b"", now=NOW) is genuine


@pytest.mark.parametrize(
    ("authenticator", "names"),
    [
        (ClientToken(["t"]), {"client-token"}),
        (Basic([("u", "p")]), {"authorization"}),
        (StandardWebhooks([FIRST["secret"]]), {"webhook-signature"}),
    ],
)
def test_each_authentication_names_the_headers_that_carry_its_secrets(
    authenticator: Authenticator, names: set[str]
) -> None:
    assert authenticator.secret_headers == names
