"""What is shipped, as a container would see it: compose.yaml with the example values, Kubernetes with the example Secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from common.http.auth import fingerprint
from suite_local.errors import SuiteLocalError
from suite_local.paths import repository_root

DEPLOY = repository_root() / "deploy"
_WORDS = {"machine": "internal", "shadow": "viewer", "website_manager": "website-manager"}
"""In the examples' tokens, where it is not their owner's name."""
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:-|:\?)(?P<rest>[^}]*))?\}")


def example_values() -> dict[str, str]:
    """`deploy/.env.example`, as Compose reads it."""
    return _variables(DEPLOY / ".env.example")


def compose_file(values: Mapping[str, str], *, over_tls: bool = False) -> dict[str, Any]:
    """`deploy/compose.yaml` merged, with variables and the configs' files filled in. An unset `${NAME:?}` fails, as with Compose.

    ``over_tls``: and `deploy/compose.tls.yaml` after it.
    """
    document = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    if over_tls:
        document = _merged(document, yaml.safe_load((DEPLOY / "compose.tls.yaml").read_text()))
    filled: dict[str, Any] = _fill(document, values)
    for config in filled["configs"].values():
        if "file" in config:
            config["content"] = (DEPLOY / config["file"]).read_text()
    return filled


def kubernetes_environment(name: str) -> dict[str, str]:
    """What the ConfigMap and the example of the Secret tell a container; `edge` has no Secret."""
    documents = yaml.safe_load_all((DEPLOY / "k8s" / "settings" / "settings.yaml").read_text())
    [told] = [each["data"] for each in documents if each["metadata"]["name"] == f"{name}-settings"]
    secret = DEPLOY / "k8s" / "secrets.example" / f"{name}-secrets.env"
    return {**told, **(_variables(secret) if secret.exists() else {})}


def files_of(compose: Mapping[str, Any], container: str) -> dict[str, str]:
    """What lies in a container's /run/suite, by name."""
    mounted = compose["services"][container].get("configs", ())
    return {Path(each["target"]).name: compose["configs"][each["source"]]["content"] for each in mounted}


def token_texts(tokens: str) -> dict[str, str]:
    """Return the examples' tokens by owner: a file of tokens holds their digests only. Raises ``KeyError`` for one that is no example's."""
    found: dict[str, str] = {}
    for entry in json.loads(tokens)["tokens"]:
        word = _WORDS.get(entry["name"], entry["name"])
        texts = {fingerprint(text): text for text in (f"development-{word}", f"change-me-{word}")}
        found[entry["name"]] = texts[entry["sha256"]]
    return found


def on_this_host(value: str, addresses: Mapping[str, str]) -> str:
    """Return a container's value with other addresses and paths: the longest that are named first."""
    for there in sorted(addresses, key=len, reverse=True):
        value = value.replace(there, addresses[there])
    return value


def _variables(file: Path) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in file.read_text().splitlines() if line and not line.startswith("#"))
    return {name: value for name, value in pairs}  # noqa: C416 - dict() would take lists for the pairs only untyped


def _merged(first: Any, then: Any, *, of: str = "") -> Any:
    """Return what Compose makes of two files: mappings key by key, volumes together, of anything else the second."""
    if isinstance(first, dict) and isinstance(then, dict):
        both = {key: _merged(first[key], value, of=key) for key, value in then.items() if key in first}
        return {**first, **then, **both}
    return [*first, *then] if of == "volumes" else then


def _fill(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _replacement(found, values), value)
    if isinstance(value, dict):
        return {key: _fill(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, values) for item in value]
    return value


def _replacement(found: re.Match[str], values: Mapping[str, str]) -> str:
    value = values.get(found["name"], "")
    if found["kind"] == ":?" and not value:
        raise SuiteLocalError(f"{found['name']} is required by compose.yaml and not in .env.example")
    return value or (found["rest"] if found["kind"] == ":-" else "")
