"""What the benchmarks of a whole suite stand on: the processor time of each program, and people with tokens of their own."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from tests.support.servers import eventually

_TOKEN_FILES = ("tokens.json", "gateway-tokens.json")


def used(suite: Mapping[str, Any]) -> dict[str, float]:
    """Processor seconds that each program has used so far, its children's too."""
    pids = {name: service["pids"] for name, service in suite["services"].items()}
    pids |= {name: [suite["infrastructure"][name]["pid"]] for name in ("postgres", "rabbitmq")}
    return {name: sum(_seconds_of(psutil.Process(root)) for root in roots) for name, roots in pids.items()}


def spent(before: Mapping[str, float], after: Mapping[str, float], share: float, *, digits: int) -> dict[str, float]:
    """Return what each program used between two moments, times ``share``, by names that a figure can carry."""
    return {name.replace("-", "_"): round((after[name] - before[name]) * share, digits) for name in sorted(after)}


def _seconds_of(root: psutil.Process) -> float:
    """What a process and its children used, those that ended included."""
    total = 0.0
    for each in (root, *root.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    own = root.cpu_times()
    return total + own.children_user + own.children_system


async def people(directory: Path, suite: Mapping[str, Any], count: int) -> list[str]:
    """Give so many people tokens of viewers, and return them when every service knows them. ``directory``: the suite's own."""
    tokens = [secrets.token_urlsafe(24) for _ in range(count)]
    entries = [
        {"name": f"person-{number}", "token": token, "role": "viewer"} for number, token in enumerate(tokens, start=1)
    ]
    for file in (directory / "secrets" / name for name in _TOKEN_FILES):
        known = json.loads(file.read_text(encoding="utf-8"))
        new = file.with_suffix(".new")
        new.write_text(json.dumps({"tokens": [*known["tokens"], *entries]}), encoding="utf-8")
        new.chmod(file.stat().st_mode)
        new.rename(file)
    services = [service["url"] for name, service in suite["services"].items() if name != "console"]
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {tokens[-1]}"}) as session:

        async def known() -> bool:
            """Tell whether the last of them is known everywhere."""
            return [await _status(session, url + "/admin/v1/whoami") for url in services] == [200] * len(services)

        await eventually(known, within=30, what="everybody's token")
    return tokens


async def _status(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as answer:
        return answer.status
