"""The committed AsyncAPI document is what the code says."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
import yaml

from common.contracts import MESSAGES, Envelope, asyncapi, intake
from common.messaging.topology import QUEUES

ROOT = Path(__file__).parents[3]
_TYPED = {"body_form", "body", "received_at", "lane", "status", "anonymous", "occurred_at"}


def test_the_committed_document_is_the_one_that_the_models_make() -> None:
    """Run `python -m common.contracts.asyncapi > docs/asyncapi.yaml` after changing a message."""
    assert (ROOT / "docs" / "asyncapi.yaml").read_text() == asyncapi.render()


@pytest.fixture(scope="module")
def official() -> jsonschema.Draft7Validator:
    """The schema that AsyncAPI publishes for documents of this version."""
    return jsonschema.Draft7Validator(json.loads((ROOT / "tests/fixtures/asyncapi/3.0.0.json").read_text()))


def test_the_document_is_valid_by_asyncapis_own_schema(official: jsonschema.Draft7Validator) -> None:
    document = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())
    assert document["asyncapi"] == "3.0.0"
    assert [(list(error.absolute_path), error.message) for error in official.iter_errors(document)] == []


def test_a_document_with_an_exchange_of_no_kind_is_refused(official: jsonschema.Draft7Validator) -> None:
    document = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())
    channel = next(iter(document["channels"].values()))
    channel["bindings"]["amqp"]["exchange"]["type"] = "topical"
    assert [error.absolute_path[0] for error in official.iter_errors(document)] == ["channels"]


def test_every_reference_in_the_document_leads_somewhere() -> None:
    """No dangling `$ref`."""
    document = asyncapi.document()

    def check(node: object) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                target: object = document
                for part in node["$ref"].removeprefix("#/").split("/"):
                    assert isinstance(target, dict), node["$ref"]
                    target = target[part]
            for value in node.values():
                check(value)
        elif isinstance(node, list):
            for value in node:
                check(value)

    check(document)


def test_every_message_has_a_queue_that_takes_it() -> None:
    """A mandatory publish of any type is routable: some queue's pattern matches it."""
    kinds = [
        *MESSAGES,
        intake.HOOK_RECEIVED,
        intake.HOOK_IGNORED,
        intake.HOOK_QUARANTINED,
        intake.WEBSITE_ORDER_REFUSED,
    ]
    homeless = [
        kind
        for kind in kinds
        if not any(
            _matches(pattern, kind) for queue in QUEUES for pattern in queue.patterns if kind.startswith(queue.exchange)
        )
    ]
    assert homeless == []


@pytest.mark.parametrize("kind", sorted(MESSAGES))
def test_the_schema_of_the_document_accepts_the_envelope_shape(kind: str) -> None:
    """The payload schema is itself a valid JSON schema."""
    document = asyncapi.document()
    payload = {**document["components"]["messages"][kind]["payload"], "components": document["components"]}
    jsonschema.Draft202012Validator.check_schema(payload)
    assert yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())["channels"][kind]["address"] == kind
    assert Envelope.model_fields["type"].annotation is str


def test_every_intake_attribute_is_documented_and_named_as_cloudevents_demands() -> None:
    """Extension attributes: lower-case letters and digits, at most twenty (CloudEvents 1.0, "Naming conventions")."""
    names = {field.name: "x" for field in dataclasses.fields(intake.IntakeMessage) if field.name not in _TYPED}
    hook = intake.IntakeMessage(
        **names,
        body_form="payload",
        body=b"{}",
        received_at=datetime(2026, 11, 21, tzinfo=UTC),
        lane="spool",
        status=400,
        anonymous=True,
        occurred_at=datetime(2026, 11, 21, tzinfo=UTC),
    )
    sent = set(hook.to_envelope().model_extra or {})
    documented = set(
        asyncapi.document()["components"]["messages"][intake.HOOK_RECEIVED]["payload"]["allOf"][1]["properties"]
    )
    assert sent <= documented
    assert [name for name in sent if not re.fullmatch(r"[a-z0-9]{1,20}", name)] == []


def _matches(pattern: str, key: str) -> bool:
    words, want = key.split("."), pattern.split(".")
    for index, part in enumerate(want):
        if part == "#":
            return True
        if index >= len(words) or part not in ("*", words[index]):
            return False
    return len(words) == len(want)
