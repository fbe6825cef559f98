"""``python -m tests.contract.surface.recorded_service FILE PACKAGE serve``: run a service and write down the metrics that it registers."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector


def main(file: str, package: str, *arguments: str) -> None:
    """Run ``python -m PACKAGE ARGUMENTS``; when it ends, write type, labels and buckets of each metric to the file, by name."""
    found: dict[str, Any] = {}
    register = CollectorRegistry.register

    def recording(registry: CollectorRegistry, collector: Collector) -> None:
        name = getattr(collector, "_name", None)
        if name is None:
            found[type(collector).__name__] = {
                "type": "collector"
            }  # of the process: what it gives is prometheus_client's
        else:
            metric = vars(collector)
            found[name] = {"type": type(collector).__name__.lower(), "labels": list(metric["_labelnames"])}
            if "_upper_bounds" in metric:
                found[name]["buckets"] = metric["_upper_bounds"][:-1]  # the last is infinity
        register(registry, collector)

    CollectorRegistry.register = recording  # type: ignore[method-assign, assignment]  # shows what no label's value has shown yet
    sys.argv = [package, *arguments]
    try:
        runpy.run_module(package, run_name="__main__", alter_sys=True)
    finally:
        Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
