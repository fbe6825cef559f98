"""What the console keeps of a service's OpenAPI document: its operations, the types of its answers, and what Tab offers."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from console.client.operations import SERVICES, operations_of

CLIENT = Path(__file__).parents[3] / "services/console/src/console/client"
_OPERATIONS = CLIENT / "operations.json"
_HEADER = '"""Answers of {service}, made of its OpenAPI document by `python -m tests.contract.surface`; not written by hand."""'
_OPTIONS = (
    "--input-file-type=openapi",
    "--output-model-type=typing.TypedDict",
    "--openapi-scopes=schemas",
    "--target-python-version=3.11",
    "--use-union-operator",
    "--use-standard-collections",
    "--disable-timestamp",
    "--formatters=builtin",
)


def service_of(package: str) -> str:
    """Return the service that a package is."""
    return package.replace("_", "-")


def stored_operations(package: str) -> Any:
    """Return what the console has of a service."""
    return json.loads(_OPERATIONS.read_text(encoding="utf-8"))[service_of(package)]


def stored_types(package: str) -> str:
    """Return the types that the console has of a service's answers."""
    return _types_file(package).read_text(encoding="utf-8")


def types_of(package: str, document: Mapping[str, Any]) -> str:
    """Make the types of the answers of the operations that people use."""
    answers = {**document, "paths": {}, "components": {"schemas": _answered(document)}}
    with tempfile.TemporaryDirectory() as directory:
        source, made = Path(directory) / "openapi.json", Path(directory) / "made.py"
        source.write_text(json.dumps(answers), encoding="utf-8")
        command = [sys.executable, "-m", "datamodel_code_generator", "--input", str(source), "--output", str(made)]
        header = f"--custom-file-header={_HEADER.format(service=service_of(package))}"
        subprocess.run([*command, header, *_OPTIONS], check=True, timeout=120, capture_output=True, text=True)
        text = made.read_text(encoding="utf-8")
    # What the generator takes from typing_extensions, type checkers do not know yet: that a dictionary holds nothing else.
    return text.replace("typing_extensions", "typing").replace(", closed=True", "")


def store(documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep what the documents of the packages give."""
    kept = {service_of(package): operations_of(document) for package, document in documents.items()}
    assert set(kept) == set(SERVICES)
    _OPERATIONS.write_text(json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    for package, document in documents.items():
        _types_file(package).write_text(types_of(package, document), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "tests.contract.console.tab"], check=True, timeout=60)  # of what is kept now


def _types_file(package: str) -> Path:
    return CLIENT / "models" / f"{package}.py"


def _answered(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schemas that answers name, and those that they name in turn."""
    schemas = document["components"]["schemas"]
    found: dict[str, Any] = {}
    open_ends = [
        name
        for line in operations_of(document)
        for code, answer in _at(document, line)["responses"].items()
        if code.startswith("2")
        for name in _named(answer)
    ]
    while open_ends:
        name = open_ends.pop()
        if name not in found:
            found[name] = schemas[name]
            open_ends += _named(schemas[name])
    return dict(sorted(found.items()))


def _at(document: Mapping[str, Any], line: str) -> Mapping[str, Any]:
    method, path = line.split(" ")
    operation: Mapping[str, Any] = document["paths"][path][method.lower()]
    return operation


def _named(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(named := node.get("$ref"), str):
            yield named.rsplit("/", 1)[1]
        for held in node.values():
            yield from _named(held)
    elif isinstance(node, list):
        for held in node:
            yield from _named(held)
