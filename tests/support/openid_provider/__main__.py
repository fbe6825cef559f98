"""``python -m tests.support.openid_provider FOLDER PORT``: serve until killed. ``FOLDER/provider.json`` says who and what there is."""

from __future__ import annotations

import json
import sys
import time
import uuid
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

FOLDER, PORT = Path(sys.argv[1]), int(sys.argv[2])
STATED: dict[str, Any] = json.loads((FOLDER / "provider.json").read_text())
ORIGIN = f"http://127.0.0.1:{PORT}"
ISSUER = f"{ORIGIN}/o"


def configure() -> None:
    """Set Django up: everything that this provider is, beyond its defaults."""
    settings.configure(
        SECRET_KEY=uuid.uuid4().hex,
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "provider.sqlite"}},
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "oauth2_provider",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        SESSION_COOKIE_NAME="provider_session",
        CSRF_COOKIE_NAME="provider_csrf",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF="tests.support.openid_provider.project",
        LOGIN_URL="/login/",
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [Path(__file__).parent],
                "APP_DIRS": True,
                "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
            }
        ],
        LOGGING={
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"stderr": {"class": "logging.StreamHandler"}},
            "root": {"handlers": ["stderr"]},
        },
        ORIGIN=ORIGIN,
        AUDIENCE=STATED["audience"],
        OAUTH2_PROVIDER={
            "OIDC_ENABLED": True,
            "OIDC_ISS_ENDPOINT": ISSUER,
            "OIDC_RSA_PRIVATE_KEY": (FOLDER / "key.pem").read_text(),
            "OIDC_RP_INITIATED_LOGOUT_ENABLED": True,
            "OIDC_RP_INITIATED_LOGOUT_ALWAYS_PROMPT": False,
            "PKCE_REQUIRED": True,
            "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
            "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
            "SCOPES": {"openid": "who you are", "profile": "your name", "groups": "your groups"},
            "OAUTH2_VALIDATOR_CLASS": "tests.support.openid_provider.project.Validator",
            "ACCESS_TOKEN_GENERATOR": "tests.support.openid_provider.project.access_token",
            "REFRESH_TOKEN_GENERATOR": "oauthlib.oauth2.rfc6749.tokens.random_token_generator",
            "ACCESS_TOKEN_EXPIRE_SECONDS": STATED["seconds"],
            "REQUEST_APPROVAL_PROMPT": "auto",
            "DEVICE_FLOW_INTERVAL": 1,
            "OAUTH_DEVICE_VERIFICATION_URI": f"{ISSUER}/device/",
            "ALLOWED_REDIRECT_URI_SCHEMES": ["http", "https"],
        },
    )
    django.setup()


def fill() -> None:
    """Make the people and clients that are stated; they stay over a restart."""
    from django.contrib.auth.models import Group, User
    from oauth2_provider.models import Application

    call_command("migrate", verbosity=0)
    for name, groups in STATED["people"].items():
        person, made = User.objects.get_or_create(username=name, defaults={"password": ""})
        if made:
            person.set_password(f"secret-of-{name}")
            person.save()
        person.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])
    Application.objects.update_or_create(
        client_id="console",
        defaults={
            "client_type": Application.CLIENT_CONFIDENTIAL,
            "authorization_grant_type": Application.GRANT_AUTHORIZATION_CODE,
            "client_secret": "secret-of-the-console",
            "redirect_uris": " ".join(STATED["redirect_uris"]),
            "post_logout_redirect_uris": " ".join(STATED["logout_uris"]),
            "skip_authorization": True,
            "algorithm": "RS256",
        },
    )
    Application.objects.update_or_create(
        client_id="ordersctl",
        defaults={
            "client_type": Application.CLIENT_PUBLIC,
            "authorization_grant_type": Application.GRANT_DEVICE_CODE,
            "algorithm": "RS256",
        },
    )


class Server(ThreadingMixIn, WSGIServer):
    """A request a thread."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """Without a line for each request."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called
        """Say nothing."""


def main() -> None:
    """Serve."""
    configure()
    started = time.monotonic()
    fill()
    with make_server("127.0.0.1", PORT, get_wsgi_application(), Server, Quiet) as server:
        print(f"serving after {time.monotonic() - started:.1f} s", flush=True)  # noqa: T201 - the tests' log
        server.serve_forever()


main()
