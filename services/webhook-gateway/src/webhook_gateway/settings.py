"""The settings, from the environment (prefix ``WEBHOOK_GATEWAY_``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from common.http import TokenBook
from common.mail import SmtpSender
from common.service import OwnerSettings, RetentionSettings, ServiceSettings


class Settings(RetentionSettings, OwnerSettings, ServiceSettings):
    """Every field has a safe default but the addresses and the files."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, env_prefix="WEBHOOK_GATEWAY_")

    port: int = Field(default=8081, ge=0, le=65535)
    sources_file: Path = Field(description="the marketplaces and how each proves who it is (see README)")
    spool_dir: Path = Field(description="this replica's own directory for what the broker could not take")
    spool_limit_bytes: int = Field(default=1024**3, ge=1024**2)
    spool_deadline: float = Field(default=2.0, gt=0, le=3, description="seconds a write to the spool may take")
    confirm_deadline: float = Field(default=0.4, gt=0, lt=1, description="seconds the broker has to confirm a hook")
    batch_hooks: bool = Field(
        default=False,
        description="publish hooks that arrive together as one message; on when every recorder and orchestrator is of a release that "
        "reads that, off before one is rolled back",
    )
    breaker_failures: int = Field(default=3, ge=1, description="failures in a row that open the circuit")
    breaker_pause: float = Field(default=0.5, gt=0, description="seconds between probes of an open circuit")
    max_body_bytes: int = Field(default=1024**2, ge=1024)
    kept_body_bytes: int = Field(default=64 * 1024, ge=1, description="how much is kept of a hook that is too large")
    body_deadline: float = Field(
        default=4.0, gt=0, lt=5, description="seconds a body may take to arrive; a marketplace waits 5 in all"
    )
    spool_oldest_allowed: float = Field(
        default=24 * 3600.0,
        gt=0,
        description="seconds; older records are alerted about and kept. Must be shorter than the orchestrator's parking limit (26 h)",
    )
    retention_days: int = Field(default=90, ge=2, le=3650, description="how long decided deliveries are kept")
    ledger_days: int = Field(
        default=1100,
        ge=2,
        le=36500,
        description="how long the sums of dropped days are kept for the ledger, by the hour",
    )
    search_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        description="key the digests by which deliveries are found by phone, mail and name, the newest first, separated by commas; "
        "one list for all replicas, made of the tokens unless given",
    )
    upkeep_every: float = Field(default=600.0, gt=0, description="seconds between looks at partitions and retention")
    watch_every: float = Field(
        default=1.0, gt=0, le=60, description="seconds between looks at countdowns and orders under way"
    )
    edge_log_dir: Path | None = Field(
        default=None,
        description="where nginx writes of requests that no gateway answered; read by one replica at a time",
    )
    edge_log_every: float = Field(default=2.0, gt=0, le=60, description="seconds between looks at it")
    silence_slot: float = Field(
        default=3600.0, gt=0, description="seconds of a slot: a source is held against the same slot of its past weeks"
    )
    silence_period: float = Field(default=7 * 86400.0, gt=0, description="seconds of such a week")
    record: bool = Field(
        default=True, description="also bring what came in into the database; off where another replica does"
    )
    website_currency: str = Field(
        default="RUB", pattern="^[A-Z]{3}$", description="of orders that name none, unless their site has another"
    )
    websites_file: Path | None = Field(
        default=None,
        description="the websites: currency, by what customers are limited, their own servers (see README)",
    )
    endangered_retention_days: int = Field(
        default=365,
        ge=2,
        le=3650,
        description="how long decided endangered orders, their reports, and what orders are recognised by are kept",
    )
    orders_per_phone: int = Field(default=10, ge=0, description="website orders a window; 0 is no limit")
    orders_per_address: int = Field(default=20, ge=0, description="the same by address")
    orders_per_ip: int = Field(default=100, ge=0, description="the same by IP address (of IPv6: by /64)")
    orders_window: float = Field(default=3600.0, gt=0, description="seconds over which those are spread")
    orders_limit_deadline: float = Field(
        default=0.25, gt=0, le=2, description="seconds an order waits for the limits; after that it passes"
    )
    orders_limit_key: SecretStr | None = Field(
        default=None,
        description="keys the digests of phones in the database; one for all replicas, made of the tokens unless given",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="networks whose X-Forwarded-For is believed, separated by commas"
    )
    refused_bytes_per_hour: int = Field(
        default=512 * 1024**2, ge=1024**2, description="what refused orders of known websites may put into the database"
    )
    unproven_bytes_per_hour: int = Field(
        default=64 * 1024**2, ge=1024**2, description="the same of requests without a valid token, or too large"
    )

    smtp_host: str | None = Field(default=None, description="mail server for reports on endangered orders")
    smtp_port: int = Field(default=25, ge=1, le=65535)
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_tls: bool = Field(default=False, description="STARTTLS is demanded")
    smtp_deadline: float = Field(default=10.0, gt=0, le=60, description="seconds one mail may take")
    mail_from: str = "Order suite <webhook-gateway@localhost.localdomain>"
    report_to: str | None = Field(default=None, description="who is responsible for endangered orders")
    report_copies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="the developers, in copy of every report; separated by commas"
    )
    report_retry: float = Field(
        default=10.0, gt=0, description="seconds before the first repeat of a mail; doubles, at most 10 min"
    )
    report_patience: float = Field(default=24 * 3600.0, gt=0, description="seconds until a report is given up")
    public_url: str = Field(
        default="",
        description="where people open the page of an order (the console, or the notifier); letters link there",
    )

    @property
    def orders_by(self) -> Mapping[str, int]:
        """How many orders of a website are taken in a window, by what they are counted by."""
        return {"phone": self.orders_per_phone, "address": self.orders_per_address, "ip": self.orders_per_ip}

    @property
    def report_recipient(self) -> str | None:
        """Who gets reports; None where no mail can be sent."""
        return None if self.smtp_host is None else self.report_to

    def mail_server(self) -> SmtpSender | None:
        """Return the mail server, not connected yet; None where there is none."""
        if self.smtp_host is None:
            return None
        password = None if self.smtp_password is None else self.smtp_password.get_secret_value()
        return SmtpSender(
            host=self.smtp_host, port=self.smtp_port, user=self.smtp_user, password=password, tls=self.smtp_tls
        )

    def keys_of_search(self, tokens: TokenBook) -> list[bytes]:
        """Return the keys of the digests by which deliveries are found, the one that writes first."""
        return [key.get_secret_value().encode() for key in self.search_keys] or [self.key_of_limits(tokens)]

    def key_of_limits(self, tokens: TokenBook) -> bytes:
        """Return the key of the digests of phones: the setting, else one made of the websites' tokens, which all replicas share."""
        if self.orders_limit_key is not None:
            return self.orders_limit_key.get_secret_value().encode()
        return b"".join(sorted(tokens.digests_of("website") | tokens.digests_of("website_manager")))

    @field_validator("trusted_proxies", "report_copies", "search_keys", mode="before")
    @classmethod
    def _by_commas(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
