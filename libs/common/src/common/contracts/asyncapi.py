"""The AsyncAPI document, made from the message models: ``python -m common.contracts.asyncapi > docs/asyncapi.yaml``.

A test compares the committed file with what this makes, so the document cannot fall behind the code.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from common.contracts import intake
from common.contracts.batch import BATCH_CONTENT_TYPE, EVENTS_HEADER
from common.contracts.envelope import CONTENT_TYPE, exchange_of
from common.contracts.journal import JournalEntryV1
from common.contracts.orders import OrderEvent
from common.contracts.registry import MESSAGES

_TOGETHER = (intake.HOOK_RECEIVED, JournalEntryV1.TYPE)
_RAW = {
    intake.HOOK_RECEIVED: "A hook, or a website's order, to act on. The request's body is in data_base64.",
    intake.HOOK_IGNORED: "An authenticated hook of a type we do not know.",
    intake.HOOK_QUARANTINED: "An authenticated request that could not be understood.",
    intake.WEBSITE_ORDER_REFUSED: "A website's order that was not answered 201: one endangered order.",
    intake.FRONTEND_ERROR_REPORTED: "A basket that the front end could not place, from its error report: one endangered order.",
}
_INTAKE_ATTRIBUTES = {
    "deliveryid": "this one request; never repeats",
    "hooksource": "the marketplace or website it came from",
    "hookevent": "the event's name, one of our six where we know it",
    "bodyform": "envelope or payload",
    "replica": "which gateway took it",
    "lane": "broker or spool",
    "ordernumber": "our number of the order",
    "externalid": "the source's own id of the order",
    "hooktime": "the envelope's own timestamp",
    "occurredat": "of a replay: when it first came in, which is its time where the envelope has none",
    "repeats": "of a replay that is not mended: the id of the event that it says again",
    "actor": "who sent it again or entered it",
    "why": "why that person did",
    "contentdigest": "SHA-256 over the canonical payload",
    "reason": "why it was quarantined or refused",
    "answerstatus": "the HTTP status that a refused website order was answered with",
    "answerbody": "what a refused website was told",
    "requestheaders": "the request's headers as JSON, secrets masked",
    "currency": "ISO 4217, the source's: bodies name none",
    "clientnetwork": "of a refused website order: the sender's /24 or /64",
    "anonymous": "of a refused website order: `true` when no valid token came with it",
}
_ORDER_ATTRIBUTES = {
    "receivedat": "when the gateway first took the hook that the event follows from",
    "takenat": "of a hook that was on its way for more than a second: when the orchestrator had it",
    "cameby": "what such a hook came by: spool (the broker was away), queue, or person (sent again); act: no hook, a person entered it",
}


def document() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document as plain data."""
    refs, definitions = models_json_schema(
        [(model, "validation") for model in MESSAGES.values()], ref_template="#/components/schemas/{model}"
    )
    schemas: dict[str, Any] = dict(definitions.get("$defs", {}))
    schemas["CloudEvent"] = _envelope()
    messages: dict[str, Any] = {}
    for kind, model in sorted(MESSAGES.items()):
        data = refs[(model, "validation")]
        said = _texts(_ORDER_ATTRIBUTES) if issubclass(model, OrderEvent) else {}
        messages[kind] = _message(kind, (model.__doc__ or "").strip().splitlines()[0], {"data": data, **said})
    attributes = _texts(_INTAKE_ATTRIBUTES)
    for kind, summary in sorted(_RAW.items()):
        messages[kind] = _message(kind, summary, {"data_base64": {"type": "string"}, **attributes})
    alone = {kind: {"event": {"$ref": f"#/components/messages/{kind}"}} for kind in messages}
    for kind in _TOGETHER:
        batch = _batch(kind)
        messages[batch["name"]] = batch
        alone[kind]["batch"] = {"$ref": f"#/components/messages/{batch['name']}"}
    channels = {
        kind: {
            "address": kind,
            "description": f"Topic exchange {exchange_of(kind)}, routing key {kind}.",
            "messages": forms,
            "bindings": {
                "amqp": {"is": "routingKey", "exchange": {"name": exchange_of(kind), "type": "topic", "durable": True}}
            },
        }
        for kind, forms in sorted(alone.items())
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Order suite",
            "version": "1.0.0",
            "description": "What the services say to each other: CloudEvents 1.0 in JSON structured mode over RabbitMQ; "
            "hooks and lines of timelines also in JSON batched mode.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": channels,
        "components": {"messages": dict(sorted(messages.items())), "schemas": dict(sorted(schemas.items()))},
    }


def render() -> str:
    """Return the document as the YAML text that is committed."""
    import yaml  # a development package: services never render the document

    header = "# Made by `python -m common.contracts.asyncapi`; a test keeps it in step with the models. Do not edit.\n"
    body: str = yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=120)
    return header + body


def _texts(described: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"type": "string", "description": text} for name, text in described.items()}


def _message(kind: str, summary: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": kind,
        "summary": summary,
        "contentType": CONTENT_TYPE,
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/CloudEvent"},
                {"type": "object", "properties": {"type": {"const": kind}, **properties}},
            ]
        },
    }


def _batch(kind: str) -> dict[str, Any]:
    return {
        "name": f"{kind}.batch",
        "summary": "Events that came together, compressed by zstd, each like one that is published alone. Any consumer takes both forms.",
        "contentType": BATCH_CONTENT_TYPE,
        "headers": {
            "type": "object",
            "properties": {EVENTS_HEADER: {"type": "string", "description": "how many events the batch holds"}},
        },
        "payload": {"type": "array", "minItems": 1, "items": {"$ref": f"#/components/messages/{kind}/payload"}},
    }


def _envelope() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "type": "object",
        "description": "CloudEvents 1.0. Consumers recognise a repeat by id.",
        "required": ["specversion", "id", "source", "type", "time"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": text,
            "source": text,
            "type": text,
            "subject": {"type": "string", "description": "the number of the order, where the event is about one"},
            "time": {"type": "string", "format": "date-time"},
            "datacontenttype": text,
            "traceparent": {"type": "string", "description": "W3C Trace Context"},
        },
    }


if __name__ == "__main__":
    sys.stdout.write(render())
