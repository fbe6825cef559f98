"""People who signed in with an OpenID provider: whose access token it is, and which role her groups give her."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.http.auth import Principal
from common.http.identity_provider import IdentityProvider, UntrustedTokenError

_RANKS = {"viewer": 0, "operator": 1, "admin": 2}
_LONGEST_NAME = 200


class ProviderTokens:
    """Reads access tokens that are JWTs. A token without a group that has a role is nobody's, and so is a token for another audience.

    ``roles`` says which group gives which role; of several the highest counts. The name that stands in the audit is ``name_claim``'s:
    it should be one that people cannot change themselves.
    """

    def __init__(
        self,
        provider: IdentityProvider,
        *,
        audience: str,
        roles: Mapping[str, str],
        groups_claim: str = "groups",
        name_claim: str = "preferred_username",
    ) -> None:
        self._provider = provider
        self._audience = audience
        self._roles = dict(roles)
        self._groups_claim = groups_claim
        self._name_claim = name_claim

    async def principal(self, token: str) -> Principal | None:
        """Return whose token it is, None for nobody's. Raises ``ProviderUnavailable`` when that cannot be known now."""
        try:
            claims = await self._provider.claims(token, audience=self._audience)
        except UntrustedTokenError:
            return None
        if "at_hash" in claims or "nonce" in claims:
            return None  # an ID token tells a client who signed in; it is no permission to call anything
        name = claims.get(self._name_claim)
        if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
            return None
        groups = _at(claims, self._groups_claim)
        given = [self._roles[group] for group in groups if isinstance(group, str) and group in self._roles]
        return Principal(name=name.strip(), role=max(given, key=_RANKS.__getitem__)) if given else None


def _at(claims: Mapping[str, Any], path: str) -> list[Any]:
    """Return the groups; some providers keep them inside another claim (``realm_access.roles``)."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return [found]
    return found if isinstance(found, list) else []
