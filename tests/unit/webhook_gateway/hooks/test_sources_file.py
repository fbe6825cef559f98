"""The file that names the marketplaces: read whole, or refused with one line that holds no secret."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from common.errors import ConfigurationError
from webhook_gateway.hooks.authentication import Basic, ClientToken, StandardWebhooks
from webhook_gateway.hooks.sources import load_sources

OF_NOTHING = hashlib.sha256(b"").hexdigest()
GOOD = {
    "sbermarket": {"auth": {"kind": "client_token", "tokens": ["new", "old"]}, "on_invalid": "accept"},
    "kuper": {"auth": {"kind": "standard_webhooks", "secrets": ["whsec_c2VjcmV0"]}, "on_invalid": "reject"},
    "shop": {
        "auth": {"kind": "basic", "credentials": [{"username": "u", "password": "hush"}]},
        "currency": "KZT",
    },
}


def written(tmp_path: Path, content: object) -> Path:
    file = tmp_path / "sources.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_all_three_ways_of_authentication_are_read(tmp_path: Path) -> None:
    sources = load_sources(written(tmp_path, GOOD))
    assert {
        name: (type(source.authenticator), source.accept_invalid, source.currency) for name, source in sources.items()
    } == {
        "sbermarket": (ClientToken, True, "RUB"),
        "kuper": (StandardWebhooks, False, "RUB"),
        "shop": (Basic, True, "KZT"),
    }


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("{", "not JSON"),
        ({}, "no source"),
        ({"website": GOOD["sbermarket"]}, "not 'website'"),
        ({"A B": GOOD["sbermarket"]}, "lower-case"),
        ({"s": {"auth": {"kind": "magic"}}}, "s.auth"),
        ({"s": {"auth": {"kind": "client_token", "tokens": []}}}, "tokens"),
        ({"s": {"auth": {"kind": "client_token", "tokens": [" "]}}}, "empty"),
        ({"s": {"auth": {"kind": "client_token", "tokens": [f"sha256:{OF_NOTHING}"]}}}, "empty"),
        ({"s": {"auth": {"kind": "basic", "credentials": [{"username": "hush", "password": ""}]}}}, "password"),
        ({"s": {"auth": {"kind": "standard_webhooks", "secrets": ["hush%"]}}}, "base64"),
        ({"s": {**GOOD["shop"], "currency": "XXX"}}, "currency"),  # ISO 4217: no currency
        ({"s": {**GOOD["shop"], "typo": 1}}, "s.typo"),
    ],
)
def test_a_wrong_file_is_one_clear_line_without_a_secret(tmp_path: Path, content: object, names: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_sources(written(tmp_path, content))
    assert names in caught.value.detail
    assert "hush" not in caught.value.detail
    assert "\n" not in caught.value.detail


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_sources(tmp_path / "none.json")
