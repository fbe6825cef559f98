"""Settings come from the environment, and a mistake is one line that names variables and shows no value."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from common.errors import ConfigurationError
from common.service import ServiceSettings, load_settings, required


class ShopSettings(ServiceSettings):
    """A service's own settings."""

    model_config = SettingsConfigDict(env_prefix="SHOP_")

    port: int = Field(default=8099, ge=0, le=65535)
    shares: dict[str, int] = Field(default={})
    feedback_url: str


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("SHOP_TOKENS_FILE", "/run/tokens.json")
    monkeypatch.setenv("SHOP_FEEDBACK_URL", "http://feedback")
    return monkeypatch


def test_what_is_not_given_has_a_sane_default_and_the_prefix_is_the_service_s(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SHOP_REPLICA", "shop-2")
    environment.setenv("SHOP_POSTGRES_DSN", "postgresql://u:pw@h/d")
    environment.setenv("PORT", "1")
    environment.setenv("SHOP_AMQP_URL", "")
    settings = load_settings(ShopSettings)
    assert settings.model_dump() == {
        "host": "127.0.0.1",
        "port": 8099,
        "postgres_dsn": SecretStr("postgresql://u:pw@h/d"),
        "amqp_url": None,
        "tokens_file": Path("/run/tokens.json"),
        "log_level": "INFO",
        "environment": "production",
        "replica": "shop-2",
        "oidc_issuer": None,
        "oidc_audience": None,
        "oidc_roles": {},
        "oidc_groups_claim": "groups",
        "oidc_name_claim": "preferred_username",
        "otlp_endpoint": None,
        "sentry_dsn": None,
        "tls_cert_file": None,
        "tls_key_file": None,
        "ca_file": None,
        "drain_seconds": 8.0,
        "shares": {},
        "feedback_url": "http://feedback",
    }
    assert "pw" not in repr(settings)
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]  # that is what is tested


def test_the_replica_s_name_comes_from_the_host() -> None:
    assert load_settings(ShopSettings).replica


def test_everything_wrong_is_named_in_one_line_without_values(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SHOP_PORT", "eighty-secret")
    environment.setenv("SHOP_DRAIN_SECONDS", "60")
    environment.setenv("SHOP_LOG_LEVEL", "LOUD")
    environment.delenv("SHOP_FEEDBACK_URL")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(ShopSettings)
    assert str(caught.value) == (
        "configuration: SHOP_PORT input should be a valid integer, unable to parse string as an integer; "
        "SHOP_LOG_LEVEL input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'; "
        "SHOP_DRAIN_SECONDS input should be less than or equal to 8.5; "
        "SHOP_FEEDBACK_URL is missing"
    )


def test_a_variable_that_should_be_json_and_is_not_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SHOP_SHARES", "{secret")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(ShopSettings)
    assert str(caught.value) == "configuration: SHOP_SHARES is not valid JSON"


def test_a_part_of_a_variable_is_named_with_its_place(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SHOP_SHARES", '{"moscow": "x"}')
    with pytest.raises(
        ConfigurationError, match=r"^configuration: SHOP_SHARES \(moscow\) input should be a valid integer"
    ):
        load_settings(ShopSettings)


def test_a_secret_that_is_needed_and_missing_is_named() -> None:
    assert required(SecretStr("dsn"), ShopSettings, "postgres_dsn") == "dsn"
    for value in (None, SecretStr("")):
        with pytest.raises(ConfigurationError) as caught:
            required(value, ShopSettings, "postgres_dsn")
        assert str(caught.value) == "configuration: SHOP_POSTGRES_DSN is missing"
