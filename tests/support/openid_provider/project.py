"""What the provider says of a person, in ID tokens and in access tokens, and where its pages are."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from django.conf import settings
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from jwcrypto.jwt import JWT
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.settings import oauth2_settings
from oauth2_provider.utils import jwk_from_pem
from oauth2_provider.views import ConnectDiscoveryInfoView


def claims_of(user: Any) -> dict[str, Any]:
    """Return who a person is."""
    return {"preferred_username": user.get_username(), "groups": sorted(user.groups.values_list("name", flat=True))}


class Validator(OAuth2Validator):  # type: ignore[misc]  # the toolkit ships no types
    """The toolkit's own, with names and groups in ID tokens."""

    oidc_claim_scope = None

    def get_additional_claims(self, request: Any) -> dict[str, Any]:
        """Return what stands beside `sub`."""
        return claims_of(request.user)


def access_token(request: Any, refresh_token: bool = False) -> str:
    """Return an access token as RFC 9068 has it: signed by the key of the ID tokens, for the audience of the suite."""
    key = jwk_from_pem(oauth2_settings.OIDC_RSA_PRIVATE_KEY)
    now = int(time.time())
    claims = {
        "iss": oauth2_settings.OIDC_ISS_ENDPOINT,
        "aud": settings.AUDIENCE,
        "sub": str(request.user.pk),
        "client_id": request.client.client_id,
        "iat": now,
        "exp": now + oauth2_settings.ACCESS_TOKEN_EXPIRE_SECONDS,
        "jti": uuid.uuid4().hex,
        **claims_of(request.user),
    }
    token = JWT(header={"alg": "RS256", "typ": "at+jwt", "kid": key.thumbprint()}, claims=json.dumps(claims))
    token.make_signed_token(key)
    return str(token.serialize())


class Discovery(ConnectDiscoveryInfoView):  # type: ignore[misc]  # the same
    """With the address of the device flow, which the toolkit leaves out."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> JsonResponse:
        """Answer the document."""
        document = json.loads(super().get(request, *args, **kwargs).content)
        device = f"{oauth2_settings.OIDC_ISS_ENDPOINT}/device-authorization/"
        return JsonResponse({**document, "device_authorization_endpoint": device})


urlpatterns = [
    path("login/", LoginView.as_view(template_name="login.html")),
    path("o/.well-known/openid-configuration", Discovery.as_view()),
    path("o/", include("oauth2_provider.urls")),
]
