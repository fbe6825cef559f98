"""Settings: from the environment only, frozen, and one clear line when something is wrong."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from common.errors import ConfigurationError

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def _hostname() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()) or "unknown"


def _issuer(value: str) -> str:
    parts = urlsplit(value)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and local)):
        raise ValueError("must be an https address, or on a loopback one")
    return value


Issuer = Annotated[str, AfterValidator(_issuer)]
"""An OpenID provider's own name, an address. It is compared letter by letter, so a slash at its end counts."""


class ProcessSettings(BaseSettings):
    """What every process that people run can be configured with: its address, its logs, its drain."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    environment: str = "production"
    replica: str = Field(default_factory=_hostname, min_length=1, max_length=128)
    otlp_endpoint: str | None = None
    sentry_dsn: SecretStr | None = None
    tls_cert_file: Path | None = Field(
        None, description="the certificate that the listener shows, in PEM form; with it the listener speaks TLS only"
    )
    tls_key_file: Path | None = Field(None, description="the certificate's key")
    ca_file: Path | None = Field(
        None,
        description="authorities, beside the machine's own, that https servers are believed by: services, provider, payments",
    )
    drain_seconds: float = Field(default=8.0, gt=0, le=8.5, description="the contract allows 10 s for the whole exit")

    @model_validator(mode="after")
    def _a_certificate_has_its_key(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file belong together")
        return self


class OwnerSettings(BaseModel):
    """Who owns the database that is the service's own; part of its settings."""

    migration_dsn: SecretStr | None = Field(
        None, description="the owner's account of the same database, for `migrate` alone; without it postgres_dsn's"
    )


class ServiceSettings(ProcessSettings):
    """What every service can be configured with. A service subclasses it with its own ``env_prefix``, its port and its fields:

    ``model_config = SettingsConfigDict(frozen=True, env_prefix="TIPS_")`` reads ``TIPS_PORT``, ``TIPS_POSTGRES_DSN`` …
    """

    postgres_dsn: SecretStr | None = None
    amqp_url: SecretStr | None = None
    tokens_file: Path
    oidc_issuer: Issuer | None = Field(
        None,
        description="whose access tokens are believed beside the file's: the `issuer` of an OpenID provider, as it writes it",
    )
    oidc_audience: str | None = Field(
        None, min_length=1, description="what an access token for the suite names as its audience"
    )
    oidc_roles: dict[str, Literal["viewer", "operator", "admin"]] = Field(
        default={}, description="which group gives which role; without a group of these a token is nobody's"
    )
    oidc_groups_claim: str = Field(
        "groups", min_length=1, description="the claim of the groups; a dot leads into another claim"
    )
    oidc_name_claim: str = Field(
        "preferred_username", min_length=1, description="the claim of the name that the audit shows"
    )

    @model_validator(mode="after")
    def _a_provider_is_whole(self) -> Self:
        if self.oidc_issuer is not None and not (self.oidc_audience and self.oidc_roles):
            raise ValueError("oidc_issuer needs oidc_audience and oidc_roles")
        return self


def load_settings(cls: type[SettingsT]) -> SettingsT:
    """Read the settings from the environment.

    Raises ``ConfigurationError`` with one line that names every environment variable at fault and what is wrong with it,
    never its value.
    """
    try:
        return cls()
    except ValidationError as error:
        findings = error.errors(include_input=False, include_url=False, include_context=False)
        parts = [
            f"{_variable(cls, finding['loc'])} "
            + ("is missing" if finding["type"] == "missing" else _lower(finding["msg"]))
            for finding in findings
        ]
        raise ConfigurationError("configuration: " + "; ".join(parts)) from None
    except SettingsError as error:
        match = re.search(r'field "(\w+)"', str(error))
        name = _variable(cls, (match.group(1),)) if match else "a variable"
        raise ConfigurationError(f"configuration: {name} is not valid JSON") from None


def required(value: SecretStr | None, cls: type[BaseSettings], field: str) -> str:
    """Return a secret that this service cannot do without. Raises ``ConfigurationError`` naming its variable."""
    if value is None or not value.get_secret_value():
        raise ConfigurationError(f"configuration: {_variable(cls, (field,))} is missing")
    return value.get_secret_value()


def _variable(cls: type[BaseSettings], location: tuple[int | str, ...]) -> str:
    prefix = cls.model_config.get("env_prefix", "")
    if not location:
        return f"{prefix}*"
    first, *rest = map(str, location)
    if first.upper().startswith(prefix.upper()) and prefix and first not in cls.model_fields:
        name = first.upper()  # pydantic-settings already gave the variable's own name (an alias)
    else:
        name = f"{prefix}{first}".upper()
    return f"{name} ({'.'.join(rest)})" if rest else name


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
