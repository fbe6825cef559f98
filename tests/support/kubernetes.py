"""What deploy/k8s applies, as `kubectl apply -k` would send it, and the API's own models of it."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import yaml
from lightkube.core.resource_registry import resource_registry
from pydantic import TypeAdapter

from suite_local.catalogue import Service

Manifest = dict[str, Any]


def manifests_of(repository: Path) -> dict[tuple[str, str], Manifest]:
    """Return everything that the kustomizations apply, by kind and name."""
    found: dict[tuple[str, str], Manifest] = {}
    folder = repository / "deploy" / "k8s"
    for part in ("settings", "migrations", "services"):
        for name in yaml.safe_load((folder / part / "kustomization.yaml").read_text())["resources"]:
            if name.endswith(".yaml"):
                for each in yaml.safe_load_all((folder / part / name).read_text()):
                    key = (each["kind"], each["metadata"]["name"])
                    assert key not in found
                    found[key] = each
    return found


def workload(service: Service, manifests: dict[tuple[str, str], Manifest]) -> Manifest:
    """A service's StatefulSet or Deployment."""
    [found] = [
        manifests[key] for key in manifests if key in {(kind, service.name) for kind in ("StatefulSet", "Deployment")}
    ]
    return found


def pods(manifests: dict[tuple[str, str], Manifest]) -> dict[str, Manifest]:
    """The specification of every Pod that is ever made, by its workload's name."""
    return {
        name: manifest["spec"]["template"]["spec"]
        for (kind, name), manifest in manifests.items()
        if kind in {"StatefulSet", "Deployment", "Job"}
    }


def fits(manifest: Manifest) -> None:
    """Read a manifest with the API's own model. Raises pydantic's ``ValidationError`` for anything unknown, missing or of another type."""
    version = manifest["apiVersion"]
    group, _, number = version.rpartition("/")
    importlib.import_module(f"lightkube.resources.{group.split('.')[0] or 'core'}_{number}")
    model: TypeAdapter[Any] = TypeAdapter(resource_registry.load(version, manifest["kind"]))
    # lightkube writes `from`, a word of Python, with a stroke
    text = re.sub(r'"from":', '"from_":', json.dumps(manifest))
    model.validate_json(text, strict=True, extra="forbid")
