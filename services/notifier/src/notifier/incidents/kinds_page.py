"""The operators' page of all kinds of problems: ``python -m notifier.incidents.kinds_page > docs/problems.md``."""

from __future__ import annotations

import sys

from notifier.incidents.kind import Kind
from notifier.incidents.kinds import KINDS

_COLUMNS = (
    "вид · kind",
    "кто сообщает · by",
    "тяжесть · severity",
    "одна проблема · one problem",
    "тикет · ticket",
    "рецепт · recipe",
    "звонить · call",
)
_QUEUES = {"operators": "`TRAVELORDERSUP`", "development": "разработка · development"}


def page() -> str:
    """Return the operators' page."""
    lines = [
        "# Problems, and what operators do about them",
        "",
        "Made of `notifier.incidents.kinds`. Operators may write others: `PUT /admin/v1/instructions/{kind}`. A ticket is opened in",
        "the queue of the team that owns the service (`NOTIFIER_TEAM_QUEUES`), else in the one named here; the developers' is",
        "`NOTIFIER_DEVELOPMENT_QUEUE`.",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        f"|{'---|' * len(_COLUMNS)}",
    ]
    for name, kind in KINDS.items():
        called = "да · yes" if kind.call else ""
        lines.append(
            f"| `{name}` | {kind.by} | {kind.severity} | {kind.one} | {_ticket(kind)} | {kind.recipe or ''} | {called} |"
        )
    for name, kind in KINDS.items():
        lines += ["", f"## {name}", "", kind.ru, "", kind.en]
        if kind.without is not None:
            lines += ["", f"Без тикета: {kind.without.ru}", "", f"Without a ticket: {kind.without.en}"]
        if kind.runbook is not None and "{" not in kind.runbook:
            lines += ["", f"[{kind.runbook}](runbooks/{kind.runbook}.md)"]
    return "\n".join(lines) + "\n"


def _ticket(kind: Kind) -> str:
    if kind.without is None:
        return _QUEUES[kind.queue]
    return f"{_QUEUES[kind.queue]}, если критична · when critical" if kind.without.when_grave else "нет · none"


if __name__ == "__main__":
    sys.stdout.write(page())
