"""The plan of one start: every address decided, and from that each program's environment. Pure; reads and starts nothing."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from common.http.auth import fingerprint
from suite_local.catalogue import (
    CALLERS,
    CONSOLE,
    GATEWAY,
    GATEWAY_ROLES,
    NOTIFIER,
    ORCHESTRATOR,
    PEOPLE,
    REFUNDS,
    ROLES,
    SANDBOX,
    SCOPES,
    SERVICES,
    TIPS,
    WITH_CONSOLE,
    Service,
)
from suite_local.credentials import Credentials
from suite_local.paths import RunDirectory, repository_root
from suite_local.ports import LOOPBACK
from suite_local.programs import Program

YOOKASSA_PAYMENTS = "yk-"
"""Payments whose id begins so are YooKassa's; all others are Trust's."""

_ANSWERING = (GATEWAY, TIPS)
"""Marketplaces and an order's iteration wait for these, five seconds and one; the others' work may come a moment later."""
_STANDS_BACK = 5

_YOOKASSA_SHOP = "1000001"
_ESCALATION = (
    {"after": 15, "act": "remind", "whom": "on_duty"},
    {"after": 15, "act": "call", "whom": "on_duty"},
    {"after": 30, "act": "call", "whom": "backup"},
    {"after": 60, "act": "call", "whom": "owners"},
)
"""Ten times as quick as the notifier's own chain: whoever tries it out sees the calls."""
_EXAMPLE_ROUTES = repository_root() / "services" / "notifier" / "src" / "notifier" / "default_routes.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where everything is going to be. `ports` are by program name, `databases` and `roles` hold addresses with credentials."""

    run: RunDirectory
    ports: Mapping[str, int]
    smtp_port: int
    replicas: Mapping[str, int]
    postgres_dsn: str
    databases: Mapping[str, str]
    tips_dsn: str
    amqp_url: str
    """The administrator's; it is everybody's where `broker_urls` has no account of a service."""
    broker_urls: Mapping[str, str]
    overrides: Mapping[str, str]
    """The person's own environment: variables with a service's prefix in it stand over ours."""

    def url(self, program: str) -> str:
        """Return a program's base address."""
        return f"http://{LOOPBACK}:{self.ports[program]}"

    def urls(self, service: Service) -> list[str]:
        """Return the addresses of a service's replicas."""
        return [self.url(program) for program in service.programs(self.replicas[service.name])]


def programs(plan: Plan) -> tuple[Program, ...]:
    """Return the sandbox and the services' replicas as programs; the infrastructure's come from itself."""
    return (
        Program(
            name=SANDBOX,
            argv=(
                sys.executable,
                "-m",
                "sandbox",
                "--port",
                str(plan.ports[SANDBOX]),
                "--smtp-port",
                str(plan.smtp_port),
            ),
            directory=plan.run.root,
            environment=sandbox_environment(plan),
            group=SANDBOX,
            priority=20,
        ),
        *(
            Program(
                name=program,
                argv=(sys.executable, "-m", service.package, "serve"),
                directory=plan.run.root,
                environment=service_environment(plan, service, replica=number),
                group="services",
                priority=30,
                niceness=0 if service in _ANSWERING else _STANDS_BACK,
            )
            for service in WITH_CONSOLE
            for number, program in enumerate(service.programs(plan.replicas[service.name]), start=1)
        ),
    )


def service_environment(plan: Plan, service: Service, *, replica: int = 1) -> dict[str, str]:
    """Return the variables of one replica, the person's own last."""
    prefix = service.prefix
    program = service.programs(replica)[-1]
    values = {
        "HOST": LOOPBACK,
        "PORT": str(plan.ports[program]),
        **_data(plan, service),
        "LOG_LEVEL": "INFO",
        "ENVIRONMENT": "testing",
        "REPLICA": program if replica > 1 else f"{program}-1",
        **_special(plan, service, program),
    }
    named = {f"{prefix}{name}": value for name, value in values.items()}
    named.update({name: value for name, value in plan.overrides.items() if name.startswith(prefix)})
    return {"PYTHONUNBUFFERED": "1", **named}


def _data(plan: Plan, service: Service) -> dict[str, str]:
    """Return where a service's data is, and who may ask it; the console has nothing."""
    if service is CONSOLE:
        return {}
    return {
        "POSTGRES_DSN": plan.databases.get(service.name, plan.tips_dsn),
        **({} if service is TIPS else {"AMQP_URL": plan.broker_urls.get(service.name, plan.amqp_url)}),
        "TOKENS_FILE": str(tokens_file(plan.run, service)),
    }


def _special(plan: Plan, service: Service, program: str) -> dict[str, str]:
    secrets = Credentials(plan.run.secrets)
    sandbox = plan.url(SANDBOX)
    if service is GATEWAY:
        return {
            "SOURCES_FILE": str(plan.run.secrets / "sources.json"),
            "SPOOL_DIR": str(plan.run.root / "spool" / program),
            "BATCH_HOOKS": "true",  # every program here is of one release
            "SMTP_HOST": LOOPBACK,
            "SMTP_PORT": str(plan.smtp_port),
            "PUBLIC_URL": plan.urls(CONSOLE)[0],
            "REPORT_TO": "responsible@localhost.localdomain",
            "REPORT_COPIES": "developers@localhost.localdomain",
        }
    if service is ORCHESTRATOR:
        return {
            "TIPS_URL": plan.urls(TIPS)[0],
            "FEEDBACK_URL": sandbox,
            "INTERNAL_TOKEN_FILE": str(secrets.path("orchestrator_token")),
            "SHADOW_TOKEN_FILE": str(secrets.path("shadow_token")),
        }
    if service is TIPS:
        return {"FEEDBACK_URL": sandbox}
    if service is CONSOLE:
        urls = {f"{each.package.upper()}_URL": plan.urls(each)[0] for each in SERVICES}
        return {**urls, "SESSION_KEY": secrets.get("console_session")}
    if service is REFUNDS:
        return {
            "ORCHESTRATOR_URL": plan.urls(ORCHESTRATOR)[0],
            "INTERNAL_TOKEN_FILE": str(secrets.path("refunds_token")),
            "CONFIRM_CALLERS": "false",  # checks ask here for refunds of payments that no order has
            "TRUST_URL": sandbox,
            "TRUST_SERVICE_TOKEN": secrets.get("trust"),
            "YOOKASSA_URL": sandbox,
            "YOOKASSA_SHOP_ID": _YOOKASSA_SHOP,
            "YOOKASSA_SECRET_KEY": secrets.get("yookassa"),
            "GATEWAY_OF_PAYMENT": json.dumps({YOOKASSA_PAYMENTS: "yookassa"}),
        }
    return {
        "TELEGRAM_API_URL": sandbox,
        "TELEGRAM_TOKEN": telegram_token(secrets),
        "TELEGRAM_WEBHOOK_SECRET": secrets.get("telegram_webhook"),
        "TELEGRAM_WEBHOOK_URL": f"{plan.urls(NOTIFIER)[0]}/telegram/webhook",
        "SLACK_API_URL": f"{sandbox}/api/",
        "SLACK_TOKEN": slack_token(secrets),
        "SLACK_SIGNING_SECRET": secrets.get("slack_signing"),
        "SMTP_HOST": LOOPBACK,
        "SMTP_PORT": str(plan.smtp_port),
        "TRACKER": "yandex",
        "TRACKER_URL": sandbox,
        "TRACKER_TOKEN": secrets.get("tracker"),
        "TRACKER_ORG_ID": "1",
        "PEOPLE_FILE": str(plan.run.secrets / "people.json"),
        "ROUTES_FILE": str(plan.run.secrets / "routes.json"),
        "CONSOLE_URL": plan.urls(CONSOLE)[0],
        "ESCALATION": json.dumps(_ESCALATION),
        "ORCHESTRATOR_URL": plan.urls(ORCHESTRATOR)[0],
        "REFUNDS_URL": plan.urls(REFUNDS)[0],
        "CALL_URL": f"{sandbox}/calls/v1/calls",
        "BATCH_LINES": "true",  # as above
    }


def sandbox_environment(plan: Plan) -> dict[str, str]:
    """Return the sandbox's variables: it accepts exactly the credentials that the services were given."""
    secrets = Credentials(plan.run.secrets)
    values = {
        "PUBLIC_URL": plan.url(SANDBOX),
        "GATEWAY_URL": ",".join(plan.urls(GATEWAY)),
        "MARKETPLACE_TOKEN": secrets.get("marketplace"),
        "TELEGRAM_TOKENS": telegram_token(secrets),
        "SLACK_TOKENS": slack_token(secrets),
        "SLACK_SIGNING_SECRET": secrets.get("slack_signing"),
        "SLACK_INTERACTIONS_URL": f"{plan.urls(NOTIFIER)[0]}/slack/interactions",
        "TRUST_SERVICE_TOKEN": secrets.get("trust"),
        "YOOKASSA_SHOP_ID": _YOOKASSA_SHOP,
        "YOOKASSA_SECRET_KEY": secrets.get("yookassa"),
        "TRACKER_TOKEN": secrets.get("tracker"),
        "KEEP_FILE": str(plan.run.sandbox_file),
    }
    named = {f"SANDBOX_{name}": value for name, value in values.items()}
    named.update({name: value for name, value in plan.overrides.items() if name.startswith("SANDBOX_")})
    return {"PYTHONUNBUFFERED": "1", **named}


def telegram_token(secrets: Credentials) -> str:
    """Return the bot's token in Telegram's form: a number, a colon, the secret."""
    return f"7000000001:{secrets.get('telegram')}"


def slack_token(secrets: Credentials) -> str:
    """Return the bot's token in Slack's form."""
    return f"xoxb-{secrets.get('slack')}"


def tokens_file(run: RunDirectory, service: Service) -> Path:
    """Return where the service's tokens lie; the gateway knows more of them than the others."""
    return run.secrets / ("gateway-tokens.json" if service is GATEWAY else "tokens.json")


def secret_files(run: RunDirectory) -> dict[Path, str]:
    """Return the files that services know tokens and sources by, with their contents: digests, so none of these lets anybody call."""
    secrets = Credentials(run.secrets)

    def tokens(names: Sequence[str]) -> str:
        entries = [
            {
                "name": PEOPLE.get(name, name).removesuffix("_token"),
                "sha256": fingerprint(secrets.get(name)),
                "role": CALLERS.get(name, name),
                "scopes": SCOPES[name],
            }
            for name in names
        ]
        return json.dumps({"tokens": entries}, indent=2)

    sources = {
        "sbermarket": {
            "auth": {"kind": "client_token", "tokens": [f"sha256:{fingerprint(secrets.get('marketplace'))}"]},
            "currency": "RUB",
            "on_invalid": "accept",
            "repeats": [1, 2, 4, 8, 16, 32, 64],  # as the sandbox's marketplace does
        }
    }
    return {
        run.secrets / "tokens.json": tokens((*CALLERS, *ROLES)),
        run.secrets / "gateway-tokens.json": tokens((*CALLERS, *ROLES, *GATEWAY_ROLES)),
        run.secrets / "sources.json": json.dumps(sources, indent=2),
        run.secrets / "people.json": json.dumps(people(secrets), indent=2, ensure_ascii=False),
        run.secrets / "routes.json": json.dumps(routes(), indent=2, ensure_ascii=False),
    }


def people(secrets: Credentials) -> dict[str, Any]:
    """Return the directory of on-call people: those whose tokens the suite knows, with their accounts in the sandbox's chats.

    The sandbox makes accounts of names: `operator` in Telegram and Slack is the operator. `user`, the one who presses unless a check
    names another, is the admin, so that a button works for whoever tries one out.
    """

    def account(name: str) -> dict[str, Any]:
        number = _account(name)
        return {"telegram": number, "slack": f"U{number:08X}", "tracker": name}

    persons = [
        {
            "id": PEOPLE[role],
            "name": name,
            "role": role,
            "token": secrets.get(role),
            "phone": phone,
            **account(chat),
        }
        for role, name, phone, chat in (
            ("operator", "Олег", "+79990000001", "operator"),
            ("admin", "Анна", "+79990000002", "user"),
            ("viewer", "Вера", None, "viewer"),
        )
    ]
    operator, admin = PEOPLE["operator"], PEOPLE["admin"]
    return {
        "people": persons,
        "owners": {"default": [operator, admin], "tips-owner": [operator]},
        "seniors": [operator],
    }


def routes() -> dict[str, Any]:
    """Return the notifier's routes: its example's, whose chats the sandbox has; the operator's own chat stands in for that of the duty."""
    found: dict[str, Any] = json.loads(_EXAMPLE_ROUTES.read_text(encoding="utf-8"))
    destinations = {
        name: {key: value for key, value in place.items() if key != "invented"}
        for name, place in found["destinations"].items()
    }
    own = PEOPLE["operator"]
    destinations["on-call-testing"]["fallback"] = own
    return {
        **found,
        "destinations": {**destinations, own: {"channel": "telegram", "address": str(_account("operator"))}},
    }


def roster(day: date) -> dict[str, Any]:
    """Return the first roster, from the week of a day on: operator and admin take turns."""
    people = [PEOPLE["operator"], PEOPLE["admin"]]
    return {
        "zone": "Europe/Moscow",
        "first_week": (day - timedelta(days=day.weekday())).isoformat(),
        "rotation": people,
        "backups": people[::-1],
        "reason": "the sandbox's people take turns",
        "expected_version": 0,
    }


def _account(name: str) -> int:
    return zlib.crc32(name.encode())


def layout(plan: Plan) -> dict[str, Any]:
    """Return `suite.json` without pids, and which programs' pids belong to each service."""
    secrets = Credentials(plan.run.secrets)
    zone = plan.overrides.get("CONSOLE_TIME_ZONE")
    return {
        **({"time_zone": zone} if zone else {}),
        "services": {service.name: plan.urls(service)[0] for service in WITH_CONSOLE},
        "programs": {service.name: service.programs(plan.replicas[service.name]) for service in WITH_CONSOLE},
        "infrastructure": {
            "postgres": {"dsn": plan.postgres_dsn},
            "rabbitmq": {"url": plan.amqp_url},
            SANDBOX: {"url": plan.url(SANDBOX)},
        },
        "databases": dict(plan.databases),
        "tokens": {name: secrets.get(name) for name in (*ROLES, "marketplace", *GATEWAY_ROLES)},
    }
