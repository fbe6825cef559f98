"""From when on an alert fires because something waits for too long, as the rules say."""

from __future__ import annotations

import re
from pathlib import Path

_RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules"
_WAITS = re.compile(r"(\w+_seconds)(?:\{([^}]*)\})?\) > (\d+)\s*$", re.MULTILINE)
_MESSAGES = re.compile(r"rabbitmq_detailed_queue_messages\{queue=\"([^\"]+)\"\}\) > (\d+)\s*$", re.MULTILINE)


def alert_after(service: str, metric: str, state: str | None = None) -> float:
    """Return the seconds of the one rule of a service that compares this metric (of one state, where named) with a number."""
    text = (_RULES / f"{service}.yml").read_text(encoding="utf-8")
    [found] = [
        float(seconds)
        for name, labels, seconds in _WAITS.findall(text)
        if name == metric and (state is None or f'state="{state}"' in labels)
    ]
    return found


def most_messages() -> dict[str, int]:
    """Return by queue of the broker how many messages its alert lets wait."""
    texts = [file.read_text(encoding="utf-8") for file in sorted(_RULES.glob("*.yml"))]
    return {queue: int(most) for text in texts for queue, most in _MESSAGES.findall(text)}
