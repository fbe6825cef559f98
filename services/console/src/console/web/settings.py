"""Settings of the console, from the environment (``CONSOLE_…``)."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import AnyHttpUrl, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from common.moments import BUSINESS_ZONE, zone_named
from common.service import Issuer, ProcessSettings


class ConsoleSettings(ProcessSettings):
    """Where the services are, and how people come in.

    ``public_url`` decides the session's cookie. With https it is a ``__Host-`` cookie, which browsers send over TLS only. Plain http is for
    one machine: the address must be a loopback one, and the cookie has another name, because browsers refuse ``__Host-`` there. Without
    the setting the console takes plain http on loopback, at whatever port a browser used.
    """

    model_config = SettingsConfigDict(frozen=True, env_prefix="CONSOLE_", extra="ignore", env_ignore_empty=True)

    port: int = Field(8086, ge=0, le=65535)
    public_url: AnyHttpUrl | None = None
    webhook_gateway_url: AnyHttpUrl
    orchestrator_url: AnyHttpUrl
    tips_url: AnyHttpUrl
    refunds_url: AnyHttpUrl
    notifier_url: AnyHttpUrl
    session_key: SecretStr = Field(min_length=32, description="seals the session's cookie; the same for all replicas")
    session_hours: float = Field(12.0, gt=0, le=168, description="from signing in; then one signs in again")
    time_zone: str = Field(BUSINESS_ZONE, description="of times that are shown and filled in")
    language: Literal["ru", "en"] = Field(
        "ru", description="for who has chosen none and whose browser asks for neither"
    )
    poll_seconds: float = Field(2.0, gt=0, le=60, description="how often a list that people look at is read for news")

    oidc_issuer: Issuer | None = Field(
        None, description="the OpenID provider that people may sign in with, by its `issuer`"
    )
    oidc_client_id: str | None = Field(None, min_length=1, description="what the provider knows the console as")
    oidc_client_secret: SecretStr | None = Field(
        None, description="none for a public client, which PKCE alone protects"
    )
    oidc_scopes: str = Field(
        "openid profile", description="what is asked for; it must lead to the groups in the access token"
    )
    oidc_resource: str | None = Field(
        None, description="the `resource` that access tokens are asked for, where a provider needs one"
    )
    oidc_name: str = Field("OpenID", min_length=1, max_length=60, description="what people call the provider")

    @model_validator(mode="after")
    def _a_provider_is_whole(self) -> Self:
        if self.oidc_issuer is not None and (self.oidc_client_id is None or self.public_url is None):
            raise ValueError("oidc_issuer needs oidc_client_id and public_url, which the provider leads back to")
        return self

    @field_validator("time_zone")
    @classmethod
    def _a_zone(cls, value: str) -> str:
        zone_named(value)
        return value

    @model_validator(mode="after")
    def _plain_http_stays_on_this_machine(self) -> Self:
        if (
            self.public_url is not None
            and self.public_url.scheme == "http"
            and not loopback(self.public_url.host or "")
        ):
            raise ValueError("public_url must be https, or on a loopback address")
        return self

    @property
    def secure(self) -> bool:
        """Whether people come over TLS."""
        return self.public_url is not None and self.public_url.scheme == "https"

    @property
    def origin(self) -> str | None:
        """What a browser names as the origin of our own forms; None where any loopback address is ours."""
        if self.public_url is None:
            return None
        parts = urlsplit(str(self.public_url))
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def urls(self) -> Mapping[str, str]:
        """The services' addresses by name."""
        return {
            "webhook-gateway": str(self.webhook_gateway_url),
            "orchestrator": str(self.orchestrator_url),
            "tips": str(self.tips_url),
            "refunds": str(self.refunds_url),
            "notifier": str(self.notifier_url),
        }


def loopback(host: str) -> bool:
    """Tell whether a host's name, without its port, is this machine."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
