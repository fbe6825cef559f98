"""What a person sees. Plain lines without a terminal, colour with one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from suite_local.evidence import Evidence, Step
from suite_local.lifecycle import Line

console = Console(highlight=False)
if not console.is_terminal:
    console = Console(highlight=False, width=140)  # nobody's window limits a log file


def say(text: str) -> None:
    """Print one line as it is: square brackets in it are no markup."""
    console.print(text, markup=False, soft_wrap=True)


def show_way_in(suite_json: Path) -> None:
    """Say where one begins, and where the tokens stand; never a token."""
    page = json.loads(suite_json.read_text(encoding="utf-8"))["services"]["console"]["url"]
    say(f"In a browser: {page}, with a token of {suite_json} (under tokens; operator is a good start).")
    say("At a terminal: .venv/bin/ordersctl status, which finds its token by itself.")


def show_story(evidence: Evidence, steps: Sequence[Step]) -> None:
    """Print the order's timeline, every chat message word for word, and the verdict on each step."""
    report = evidence.report
    table = Table(
        "time", "service", "what", "trace", title=f"timeline of order {report['number']} ({report['external_id']})"
    )
    for item in evidence.timeline:
        table.add_row(
            str(item["at"])[11:23], item["service"], escape(item["summary"]), str(item.get("trace_id") or "")[:8]
        )
    console.print(table)
    for system, entries in (("Telegram", evidence.telegram), ("Slack", evidence.slack)):
        if not entries:
            say(f"{system}: nothing was sent about this order")
        for entry in entries:
            request = entry["request"]
            where = request.get("chat_id") or request.get("channel")
            text = Text(str(request.get("text", "")))
            console.print(
                Panel(text, title=f"{system} {entry['operation']} → {where} ({entry['status']})", title_align="left")
            )
    verdicts = Table("step", "seen", "evidence")
    for step in steps:
        verdicts.add_row(escape(step.name), "[green]yes[/]" if step.seen else "[red]NO[/]", escape(step.detail))
    console.print(verdicts)


def show_status(lines: Sequence[Line]) -> None:
    """Print the table of services and servers."""
    if not lines:
        say("the suite is not running")
        return
    table = Table("what", "address", "pids", "state")
    for line in lines:
        state = f"[{'green' if line.ready else 'red'}]{escape(line.reason)}[/]"
        table.add_row(line.name, line.url, " ".join(str(pid) for pid in line.pids), state)
    console.print(table)
