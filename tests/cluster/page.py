"""The page of one run of these tests: for each fault what clients saw, how long it took, and the checkers' verdict."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from suite_local.paths import repository_root

_HEAD = "| at, s | what failed | for, s | answers | refused | p99, s | slowest, s |\n| --- | --- | --- | --- | --- | --- | --- |"


@dataclass(slots=True)
class Seen:
    """What clients saw: how often each answer, and how long each took that came."""

    answers: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, plays: Iterable[Mapping[str, Any]]) -> Seen:
        """Of all answers in the reports of plays."""
        seen = cls()
        for play in plays:
            for order in play["orders"]:
                for answer in order["answers"]:
                    seen.answers[str(answer["status"] or answer["error"])] += 1
                    if answer["status"] is not None:
                        seen.seconds.append(answer["seconds"])
        seen.seconds.sort()
        return seen

    @property
    def slowest(self) -> float:
        """The longest that an answer took."""
        return self.seconds[-1] if self.seconds else 0.0

    @property
    def cells(self) -> str:
        """Answers by kind, how many of them took nothing, and the two times."""
        refused = sum(count for answer, count in self.answers.items() if answer != "200")
        p99 = self.seconds[int(0.99 * len(self.seconds))] if self.seconds else 0.0
        kinds = ", ".join(f"{answer}: {count}" for answer, count in sorted(self.answers.items()))
        return f"{kinds or 'none'} | {refused} | {p99:.2f} | {self.slowest:.2f}"


@dataclass(slots=True)
class Section:
    """One test: what failed in it, what was played meanwhile, and how it ended."""

    title: str
    begun: float = field(default_factory=time.monotonic)
    failed: list[tuple[float, str, float]] = field(default_factory=list)
    plays: list[tuple[float, Mapping[str, Any]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    verdict: str = "did not get so far"

    @contextmanager
    def fails(self, what: str) -> Iterator[None]:
        """Note what fails, and for how long."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.failed.append((start - self.begun, what, time.monotonic() - start))

    def text(self) -> str:
        """What stands on the page."""
        everything = Seen.of(play for _, play in self.plays)
        rows = [
            f"| {at:.0f} | {what} | {took:.1f} | {self._during(at, took).cells} |" for at, what, took in self.failed
        ]
        orders = sum(len(play["orders"]) for _, play in self.plays)
        return "\n".join(
            (
                f"## {self.title}",
                "",
                f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {time.monotonic() - self.begun:.0f} s, {orders} orders.",
                "",
                *((_HEAD, *rows, f"| | all of it | | {everything.cells} |", "") if rows else ()),
                *(f"- {note}" for note in self.notes),
                "",
                "```",
                self.verdict.strip(),
                "```",
                "",
                "",
            )
        )

    def _during(self, at: float, took: float) -> Seen:
        """Of the plays that were begun while something failed."""
        return Seen.of(play for begun, play in self.plays if at <= begun - self.begun <= at + took)


class Page:
    """A file in ``.run/cluster``, a new one each run: it has a section as soon as a test is over, however it ended."""

    def __init__(self, title: str, *, name: str) -> None:
        self.path = repository_root() / ".run" / "cluster" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{name}.md"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(f"# {title}\n\n", encoding="utf-8")

    @contextmanager
    def section(self, title: str) -> Iterator[Section]:
        """Give the section to be filled, and write it at the end; what was raised is its verdict, then."""
        section = Section(title)
        try:
            yield section
        except BaseException as error:
            section.verdict = f"FAILED: {str(error)[:2000] or type(error).__name__}\n{section.verdict}"
            raise
        finally:
            text = section.text()
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
            print(text)  # noqa: T201 - what was seen, with -s
