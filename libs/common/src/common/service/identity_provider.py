"""Has a service believe an OpenID provider's access tokens beside those of its file, by setting."""

from __future__ import annotations

from ssl import SSLContext

from prometheus_client import CollectorRegistry, Gauge

from common.http import IdentityProvider, ProviderTokens, ProviderUnavailable, TokenBook, new_session
from common.service.jobs import every
from common.service.lifecycle import Lifecycle
from common.service.settings import ServiceSettings
from common.telemetry import get_logger

_log = get_logger()
_SECONDS = 300.0
_JITTER = 0.2
_DEADLINE_S = 5.0


async def accepted_tokens(
    lifecycle: Lifecycle, registry: CollectorRegistry, settings: ServiceSettings, *, trusted: SSLContext | None = None
) -> TokenBook:
    """Return the tokens that a service accepts: those of its file, and the provider's. Raises ``ConfigurationError``."""
    tokens = TokenBook.load(settings.tokens_file)
    await trust_provider(lifecycle, registry, settings, tokens, trusted=trusted)
    return tokens


async def trust_provider(
    lifecycle: Lifecycle,
    registry: CollectorRegistry,
    settings: ServiceSettings,
    tokens: TokenBook,
    *,
    trusted: SSLContext | None = None,
) -> None:
    """Believe the provider that the settings name; without one nothing happens.

    Its keys are fetched every five minutes. While it is away the keys of before stay in force; tokens of the file never depend on it,
    and the service starts without it.
    """
    away = Gauge(
        "identity_provider_unreachable",
        "1 while the OpenID provider's keys cannot be fetched: those of before are in force.",
        registry=registry,
    )
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return
    session = await lifecycle.enter(new_session(total=_DEADLINE_S, limit=4, trusted=trusted))
    provider = IdentityProvider(session, settings.oidc_issuer)
    people = ProviderTokens(
        provider,
        audience=settings.oidc_audience,
        roles=settings.oidc_roles,
        groups_claim=settings.oidc_groups_claim,
        name_claim=settings.oidc_name_claim,
    )
    tokens.trust(people.principal)

    async def renew() -> None:
        """Fetch the keys."""
        try:
            await provider.renew()
        except ProviderUnavailable as error:
            away.set(1)
            _log.warning("identity_provider_unreachable", reason=error.detail)
        else:
            away.set(0)

    every(lifecycle, _SECONDS, renew, name="identity-provider", jitter=_JITTER)
