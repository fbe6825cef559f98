"""`suite.json`: the layout that `up` wrote, with the pids that the process manager knows now."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from suite_local.paths import RunDirectory, locked, write_private
from suite_local.supervision import Supervisor

INFRASTRUCTURE = ("postgres", "rabbitmq", "sandbox")


def refresh(run: RunDirectory) -> None:
    """Write `suite.json` with the pids of this moment; does nothing before there is a layout.

    Two writers at once are safe: each asks for the pids under the file's own lock, so the last file is never the older one.
    """
    if not run.layout_file.exists():
        return
    with locked(run.root / "suite.json.lock"):
        layout = json.loads(run.layout_file.read_text(encoding="utf-8"))
        pids = {state.name: state.pid for state in Supervisor(run).processes() if state.pid is not None}
        write_private(run.suite_json, json.dumps(with_pids(layout, pids), indent=2, ensure_ascii=False) + "\n")


def with_pids(layout: Mapping[str, Any], pids: Mapping[str, int]) -> dict[str, Any]:
    """Return the document for the layout. Pure. A server that is not ours to run (given by its address) has pid null."""
    programs: Mapping[str, Sequence[str]] = layout["programs"]
    return {
        "services": {
            name: {"url": url, "pids": [pids[program] for program in programs[name] if program in pids]}
            for name, url in layout["services"].items()
        },
        "infrastructure": {name: {**layout["infrastructure"][name], "pid": pids.get(name)} for name in INFRASTRUCTURE},
        "databases": layout["databases"],
        "tokens": layout["tokens"],
        **{name: layout[name] for name in ("time_zone",) if name in layout},
    }
