"""The broker's accounts: one a service, which publishes its own events and reads its own queues, and can do nothing else.

``python -m common.messaging.accounts`` prints the definitions that RabbitMQ imports: accounts, rights, and the topology, which no
account of a service can declare, but for the exchange that says that all is there: ``… complete`` prints that alone, to be imported
after the rest, because RabbitMQ imports exchanges before queues and bindings. Passwords come from the environment,
``WEBHOOK_GATEWAY_BROKER_PASSWORD`` and so on, the virtual host from ``BROKER_VHOST`` (``suite``). With ``BROKER_API``, the management
API's address with an administrator's name and password, they are imported there instead. Again it changes nothing, or
passwords; it takes nothing away but rights.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from common.contracts import intake, registry
from common.contracts.alerts import HeartbeatV1, ProblemRaisedV1, ProblemResolvedV1
from common.contracts.envelope import exchange_of
from common.contracts.journal import JournalEntryV1
from common.errors import ConfigurationError, Unavailable
from common.messaging import topology
from common.messaging.topology import QUEUES, QueueSpec, replays_of

_NOTHING = "^$"
_ASK_AGAIN_S = 0.5
_TIMEOUT_S = 30.0
_DEAD_DELIVERY_LIMIT = 1_000_000_000
"""RabbitMQ 4 throws away what was delivered 20 times and has no queue to go to; 3 has no limit, and knows no word for none. A policy,
because a queue that is there keeps its arguments."""


@dataclass(frozen=True, slots=True)
class BrokerRights:
    """``publishes``: the types of the events that a service may publish. Its own queues, which it reads and replays to, bear its name."""

    publishes: tuple[str, ...]


def _of(context: str) -> tuple[str, ...]:
    return tuple(sorted(kind for kind in registry.MESSAGES if exchange_of(kind) == context))


_EVERY_SERVICE = (ProblemRaisedV1.TYPE, ProblemResolvedV1.TYPE, JournalEntryV1.TYPE)

RIGHTS: Mapping[str, BrokerRights] = {
    "webhook-gateway": BrokerRights(
        (
            *_EVERY_SERVICE,
            intake.HOOK_RECEIVED,
            intake.HOOK_IGNORED,
            intake.HOOK_QUARANTINED,
            intake.WEBSITE_ORDER_REFUSED,
        )
    ),
    # That money is to go back, nobody else may say.
    "orchestrator": BrokerRights((*_EVERY_SERVICE, *_of("orders"))),
    "refunds": BrokerRights((*_EVERY_SERVICE, *_of("refunds"))),
    "notifier": BrokerRights((*_EVERY_SERVICE, HeartbeatV1.TYPE, intake.FRONTEND_ERROR_REPORTED)),
}
"""By service; one that is not here has no account. A right goes away a release after its last use."""


def queues_of(service: str) -> Iterator[QueueSpec]:
    """Give the queues that a service reads."""
    return (spec for spec in QUEUES if spec.service == service)


def definitions(
    passwords: Mapping[str, str], *, vhost: str, names: Mapping[str, str] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Return what RabbitMQ imports: the accounts of the services that ``passwords`` names, and the topology with all that belongs to it.

    ``names`` are the accounts' names where they are not the services' own.
    """
    called = {service: (names or {}).get(service, service) for service in passwords}
    return {
        "users": [{"name": name, "password": passwords[service], "tags": ""} for service, name in called.items()],
        "permissions": [
            {"vhost": vhost, "user": name, "configure": _NOTHING, "write": _writes(service), "read": _reads(service)}
            for service, name in called.items()
        ],
        "topic_permissions": [
            {"vhost": vhost, "user": name, "exchange": exchange, "write": _any_of(kinds), "read": _NOTHING}
            for service, name in called.items()
            for exchange, kinds in _by_exchange(service).items()
        ],
        "exchanges": [
            _of_host(vhost, name, type=kind, auto_delete=False, internal=False)
            for name, kind in (
                *((name, kind.value) for name, kind in topology.exchanges()),
                (topology.COMPLETE, "fanout"),
            )
        ],
        "queues": [
            _of_host(vhost, name, auto_delete=False, arguments=arguments)
            for spec in QUEUES
            for name, arguments in ((spec.dead, topology.DEAD_ARGUMENTS), (spec.name, spec.arguments))
        ],
        "policies": [
            {
                "vhost": vhost,
                "name": "dead-letters-stay",
                "pattern": _any_of(spec.dead for spec in QUEUES),
                "apply-to": "queues",
                "priority": 0,
                "definition": {"delivery-limit": _DEAD_DELIVERY_LIMIT},
            }
        ],
        "bindings": [
            {
                "vhost": vhost,
                "source": exchange,
                "destination": queue,
                "destination_type": "queue",
                "routing_key": key,
                "arguments": {},
            }
            for spec in QUEUES
            for queue, exchange, key in (
                (spec.dead, topology.DEAD_LETTERS, spec.name),
                *((spec.name, *binding) for binding in spec.bindings),
            )
        ],
    }


def _of_host(vhost: str, name: str, *, arguments: Mapping[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    return {"vhost": vhost, "name": name, "durable": True, "arguments": dict(arguments or {}), **properties}


def _by_exchange(service: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for kind in RIGHTS[service].publishes:
        found.setdefault(exchange_of(kind), []).append(kind)
    return found


def _writes(service: str) -> str:
    # To say nothing to the exchange that says that all is there: of this release and of others.
    return _any_of((*_by_exchange(service), replays_of(service)), r"topology\.[0-9a-f]{12}")


def _reads(service: str) -> str:
    return _any_of(name for spec in queues_of(service) for name in (spec.name, spec.dead))


def _any_of(names: Iterable[str], *patterns: str) -> str:
    return f"^({'|'.join((*map(re.escape, sorted(names)), *patterns))})$"


def import_into(api: str, wanted: Mapping[str, Any], *, patience: float = 60.0) -> None:
    """Import the definitions by the management API at ``api``, which is waited for so many seconds; last the exchange that says that all
    is there, so that services go on waiting for what an import that died has left out.

    Raises ``Unavailable`` when it does not answer, ``ConfigurationError`` when it refuses, with what it says: no password; or when it has
    taken everything and made only some of it, as a cluster does that has not all its nodes yet.
    """
    first, last = in_two(wanted)
    _call(api, "POST", "", first, patience)
    if last["exchanges"]:
        if missing := sorted(_missing(api, first, patience)):
            raise ConfigurationError(
                f"the broker has not made {', '.join(missing[:5])} of {len(missing)} that are missing"
            )
        _call(api, "POST", "", last, patience)


def in_two(wanted: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is to be imported first, and the exchange that says that all of it is there."""
    last = [each for each in wanted.get("exchanges", ()) if each["name"] == topology.COMPLETE]
    others = [each for each in wanted.get("exchanges", ()) if each not in last]
    return {**wanted, "exchanges": others}, {"exchanges": last}


def _missing(api: str, wanted: Mapping[str, Any], patience: float) -> Iterator[str]:
    for vhost in sorted({each["vhost"] for each in wanted.get("queues", ())}):
        found = json.loads(_call(api, "GET", f"/{quote(vhost, safe='')}", None, patience))
        queues = {each["name"] for each in found["queues"]}
        bound = {(each["source"], each["destination"], each["routing_key"]) for each in found["bindings"]}
        yield from (f"the queue {each['name']}" for each in wanted["queues"] if each["name"] not in queues)
        for each in wanted["bindings"]:
            if (each["source"], each["destination"], each["routing_key"]) not in bound:
                yield f"the binding of {each['destination']} to {each['source']}"


def _call(api: str, method: str, path: str, wanted: Mapping[str, Any] | None, patience: float) -> bytes:
    parts = urlsplit(api)
    account = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    request = urllib.request.Request(  # noqa: S310 - the address is the administrator's own
        urlunsplit(
            parts._replace(
                netloc=parts.netloc.rpartition("@")[2], path=parts.path.rstrip("/") + "/api/definitions" + path
            )
        ),
        data=None if wanted is None else json.dumps(wanted).encode(),
        headers={
            "Authorization": "Basic " + base64.b64encode(account.encode()).decode(),
            "Content-Type": "application/json",
        },
        method=method,
    )
    until = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - as above
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            if error.code < HTTPStatus.INTERNAL_SERVER_ERROR or time.monotonic() > until:
                said = error.read().decode("utf-8", "replace")[:500]
                raise ConfigurationError(f"the broker refuses the definitions ({error.code}): {said}") from None
        except OSError as error:
            if time.monotonic() > until:
                raise Unavailable(f"the broker's management API does not answer: {error}") from error
        time.sleep(_ASK_AGAIN_S)


def _passwords(environ: Mapping[str, str]) -> dict[str, str]:
    variables = {service: f"{service.upper().replace('-', '_')}_BROKER_PASSWORD" for service in RIGHTS}
    if missing := [name for name in variables.values() if not environ.get(name)]:
        raise ConfigurationError(f"without a password: {', '.join(missing)}")
    return {service: environ[name] for service, name in variables.items()}


def main(environ: Mapping[str, str], arguments: Sequence[str] = ()) -> int:
    """Print the definitions, or what completes them, or import both where ``BROKER_API`` says; one line on stderr and 2 if it cannot be."""
    try:
        wanted = definitions(_passwords(environ), vhost=environ.get("BROKER_VHOST") or "suite")
        if api := environ.get("BROKER_API"):
            import_into(api, wanted)
        else:
            sys.stdout.write(json.dumps(in_two(wanted)[list(arguments) == ["complete"]], indent=1) + "\n")
    except (ConfigurationError, Unavailable) as error:
        sys.stderr.write(f"broker accounts: {error.detail}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ, sys.argv[1:]))
