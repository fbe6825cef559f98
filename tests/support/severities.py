"""Severities as people and systems spell them, each with what it means."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import strategies as st

WORDS: dict[str, tuple[str, ...]] = {
    "critical": (
        *("critical", "crit", "emergency", "alert", "fatal", "page", "high", "urgent", "disaster", "blocker", "panic"),
        *("sev 0", "sev 1", "s 1", "p 0", "p 1", "priority 1", "severity 1", "1", "high priority", "критический"),
        *("чрезвычайная", "аварийный", "катастрофа", "блокер", "крит", "срочная", "paging", "immediate", "outage"),
        *("very high", "high urgency", "critical alert", "high severity"),
    ),
    "warning": ("warning", "warn", "error", "minor", "medium", "sev 2", "p 3", "purple", "non critical", "", "7"),
    "info": ("info", "information", "none", "low", "debug", "notice", "low priority"),
}
_BETWEEN = st.sampled_from(["", " ", "-", "_", ".", ": ", "–"])
_AROUND = st.sampled_from(["", " ", "\t", "\n", "!", "[", "🔥 "])
_CASES: Sequence[Callable[[str], str]] = (str, str.upper, str.title, str.capitalize, str.swapcase)


@st.composite
def _spelled(draw: st.DrawFn) -> tuple[str, str]:
    meaning = draw(st.sampled_from(sorted(WORDS)))
    word = draw(st.sampled_from(WORDS[meaning]))
    return (
        f"{draw(_AROUND)}{draw(_BETWEEN).join(draw(st.sampled_from(_CASES))(word).split(' '))}{draw(_AROUND)}",
        meaning,
    )


SEVERITIES = _spelled()
"""(A spelling, what it means.)"""
