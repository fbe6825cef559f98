"""What a command shows, in the form that was asked for; nothing of it can steer the terminal.

Results go to stdout, remarks to stderr. Tables are for terminals: into a pipe the same columns go separated by tabs, times and sums as the
services write them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from common.moments import rewritten
from console.client import timeline, times
from console.client.late import LIMITS
from console.client.money import currency_of, sum_of
from console.client.sentences import OF_SENTENCES, sentences
from console.client.things import value
from console.client.words import called, headings, label, words

if TYPE_CHECKING:
    from rich.console import Console

# Control characters, what turns the direction of writing, and halves of characters, which no terminal can show.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")
_UNSAFE_BUT_LINES = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))

_COPIED = frozenset(
    {"id", "number", "order_number", "order", "name", "state", "state_name", "status", "phone", "severity"}
)
"""Columns of words that people copy, or look for."""
_GAP = 2
"""Characters between two columns."""


class Form(StrEnum):
    """The forms of a result."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Columns:
    """What a table shows: dotted paths, those of the wide form, and where the name of an item stands."""

    shown: tuple[str, ...]
    wide: tuple[str, ...] = ()
    name: str = "id"


def printable(text: str, *, lines: bool = False) -> str:
    """Return the text with each character that would steer a terminal as an escape; ``lines``: line ends may stay."""
    pattern = _UNSAFE_BUT_LINES if lines else _UNSAFE
    return pattern.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def as_json(shown: Any, *, indent: int | None = None) -> str:
    """Return JSON that is safe to show: what would steer a terminal is escaped, and reads back the same."""
    text = json.dumps(shown, ensure_ascii=False, indent=indent)
    pattern = _UNSAFE if indent is None else _UNSAFE_BUT_LINES
    return pattern.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def as_yaml(shown: Any) -> str:
    """Return YAML that is safe to show."""
    import yaml

    text = yaml.safe_dump(shown, allow_unicode=True, sort_keys=False)
    return text if not _UNSAFE_BUT_LINES.search(text) else yaml.safe_dump(shown, sort_keys=False)


def flat(item: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return a thing as one level of dotted names; what is empty is left out."""
    found: dict[str, Any] = {}
    for name, held in item.items():
        if isinstance(held, Mapping):
            found |= flat(held, f"{before}{name}.")
        elif held not in (None, [], ""):
            found[before + name] = held
    return found


@dataclass
class Output:
    """How one command speaks. ``columns``: those that the person chose instead of the usual; ``language``: of sentences for people,
    ``zone``: of times that they read and write."""

    form: Form | None = None
    columns: tuple[str, ...] = ()
    color: bool = True
    language: str = "en"
    zone: tzinfo = UTC

    @cached_property
    def console(self) -> Console:
        """Stdout."""
        return self._console()

    @cached_property
    def remarks(self) -> Console:
        """Stderr."""
        return self._console(stderr=True)

    def _console(self, *, stderr: bool = False) -> Console:
        from rich.console import Console

        colors: Literal["auto"] | None = "auto" if self.color else None
        return Console(stderr=stderr, color_system=colors, highlight=False, soft_wrap=True, emoji=False)

    def say(self, sentence: str) -> str:
        """Return a sentence, or several lines of them, in the person's language."""
        return spoken(sentence, language=self.language, zone=self.zone)

    def told(self, line: Mapping[str, Any]) -> str:
        """Return what a line of a timeline says, in the person's language."""
        return self.say(timeline.told(line, language=self.language))

    @property
    def for_people(self) -> bool:
        """Tell whether results are read on a terminal, as a table."""
        return self.form in (None, Form.TABLE, Form.WIDE) and sys.stdout.isatty()

    @property
    def for_programs(self) -> bool:
        """Tell whether a structured form was chosen."""
        return self.form in (Form.JSON, Form.JSONL, Form.YAML)

    def rows(self, items: Sequence[Mapping[str, Any]], columns: Columns) -> None:
        """Show a list."""
        if self.form is Form.JSON:
            self._write(as_json(list(items), indent=2))
        elif self.form is Form.YAML:
            self._write(as_yaml(list(items)).rstrip("\n"))
        elif self.form is Form.JSONL:
            self._lines(as_json(item) for item in items)
        elif self.form is Form.NAME:
            self._lines(printable(str(value(item, columns.name))) for item in items)
        elif not sys.stdout.isatty():
            chosen = self._chosen(columns)
            self._lines(["\t".join(chosen), *("\t".join(_raw(value(item, c)) for c in chosen) for item in items)])
        else:
            self._table(items, columns)

    def thing(self, item: Mapping[str, Any], *, name: str = "id") -> None:
        """Show one thing whole, or the columns that were chosen of it."""
        if self.form is Form.NAME:
            self._write(printable(str(value(item, name))))
        elif self.form in (Form.JSON, Form.JSONL):
            self._write(as_json(item, indent=2 if self.form is Form.JSON else None))
        elif self.form is Form.YAML:
            self._write(as_yaml(dict(item)).rstrip("\n"))
        else:
            shown = {c: value(item, c) for c in self.columns} if self.columns else flat(item)
            for column in [name for name, held in shown.items() if isinstance(held, Mapping)]:
                shown |= flat(shown.pop(column), f"{column}.")
            if self.for_people:
                self._pairs(shown, self._said(item))
            else:
                self._lines(f"{printable(at)}\t{_raw(held)}" for at, held in shown.items())

    def line(self, item: Mapping[str, Any], said: str) -> None:
        """Show one of many as it comes: a line of words, or of JSON where a form for programs was chosen."""
        self._write(as_json(item) if self.for_programs else printable(said))

    def notice(self, notice: str) -> str:
        """Return who is told of what, in the person's language."""
        from console.client.notices import in_words

        return in_words(notice, language=self.language)

    def moment(self, written: str) -> str:
        """Return a time in the person's zone, and on a terminal in the person's language."""
        return moment(written, language=self.language if self.for_people else "en", zone=self.zone)

    def readable(self, item: Mapping[str, Any], path: str, *, now: datetime | None = None) -> str:
        """Return a value as this person reads it; with ``now`` a time says how long ago it was, too."""
        return readable(item, path, language=self.language, zone=self.zone, now=now)

    def note(self, said: str, style: str = "") -> None:
        """Say something beside the result."""
        from rich.text import Text

        self.remarks.print(Text(printable(self.say(said), lines=True), style=style))

    @contextmanager
    def progress(self, doing: str) -> Iterator[Callable[[int, int], None]]:
        """Give what shows how many of how many are done: a bar that vanishes at the end, and only on a terminal."""
        if not self.remarks.is_terminal:
            yield lambda _done, _of: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=self.remarks, transient=True) as bar:
            task = bar.add_task(self.say(doing), total=None)

            def show(done: int, of: int) -> None:
                """Move the bar."""
                bar.update(task, completed=done, total=of, refresh=True)

            yield show

    def _chosen(self, columns: Columns) -> tuple[str, ...]:
        return self.columns or (columns.shown + columns.wide if self.form is Form.WIDE else columns.shown)

    def _table(self, items: Sequence[Mapping[str, Any]], columns: Columns) -> None:
        """Show a table where each word of it has room, else a card a row: no word is broken, nor a heading."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        chosen = self._chosen(columns)
        said = map(self._said, items)
        rows = [[printable(self.readable(item, column), lines=True) for column in chosen] for item in said]
        whole = [column == columns.name or column.rpartition(".")[2] in _COPIED for column in chosen]
        heads = headings(chosen, self.language)
        widths = _widths([list(cells) for cells in zip(heads, *rows, strict=True)], whole, self.console.width)
        if items and widths is None:
            for row in rows:
                self._over_lines([(name, text) for name, text in zip(heads, row, strict=True) if text])
                self.console.print()
            return
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
        for place, head in enumerate(heads):
            table.add_column(Text(head), overflow="fold", width=None if widths is None else widths[place])
        for row in rows:
            table.add_row(*map(Text, row))
        self.console.print(table, soft_wrap=False)

    def _said(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return an item with its sentences in the person's language."""
        faults = [{**each, "message": self.say(str(each.get("message")))} for each in item.get("faults") or ()]
        notices: Sequence[Any] = item.get("notices") or ()  # of a plan who is told; of an incident what was, one by one
        in_lines = bool(notices) and isinstance(notices[0], str)
        told: dict[str, Any] = {"notices": list(map(self.notice, notices))} if in_lines else {}
        if timeline.is_line(item):
            told["summary"] = self.told(item)
        return {**item, **({"faults": faults} if faults else {}), **told}

    def _pairs(self, shown: Mapping[str, Any], item: Mapping[str, Any]) -> None:
        from rich.table import Table
        from rich.text import Text

        now = datetime.now(UTC)
        pairs = [(printable(name), printable(self.readable(item, name, now=now), lines=True)) for name in shown]
        room = self.console.width - _GAP - max((len(name) for name, _ in pairs), default=0)
        if any(_longest_word(text) > room for _, text in pairs):
            self._over_lines(pairs)
            return
        grid = Table.grid(padding=(0, _GAP))
        for name, text in pairs:
            grid.add_row(Text(name, style="bold"), Text(text))
        self.console.print(grid, soft_wrap=False)

    def _over_lines(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Show names and values one under the other, lines ending between words: the window is narrow."""
        from rich.text import Text

        for name, text in pairs:
            if "\n" not in text and len(name) + _GAP + len(text) <= self.console.width:
                self.console.print(Text(name, style="bold"), Text(text), sep=" " * _GAP)
            else:
                self.console.print(Text(name, style="bold"))
                self.lines(text.split("\n"), indent=_GAP)

    def lines(self, lines: Iterable[str], *, indent: int = 0) -> None:
        """Show lines of words, which on a terminal end between words where they are too long."""
        for line in lines:
            if not self.for_people:
                self._write(printable(line))
                continue
            width = max(self.console.width, indent + 1)
            for part in _wrapped(printable(line), width, " " * indent):
                self._write(part)

    def _lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._write(line)

    def _write(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    from textwrap import wrap

    further = indent + " " * _GAP
    how: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False, "drop_whitespace": True}
    return wrap(text, width, initial_indent=indent, subsequent_indent=further, **how) or [indent]


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _widths(cells: Sequence[Sequence[str]], whole: Sequence[bool], room: int) -> list[int] | None:
    """Return how wide each column is so that no word of it is broken, None where the terminal has not so much room.

    ``cells``: of each column its heading and all its cells; ``whole``: whether a column's cells stay on one line each.
    """
    natural = [max(max(map(len, text.split("\n"))) for text in column) for column in cells]
    least = [
        wide if kept else max(map(_longest_word, column))
        for column, wide, kept in zip(cells, natural, whole, strict=True)
    ]
    spare = room - _GAP * len(cells) - sum(least)
    if spare < 0:
        return None
    widths = list(least)
    while spare > 0 and (short := [place for place, wide in enumerate(widths) if wide < natural[place]]):
        place = max(short, key=lambda place: natural[place] / widths[place])  # which would be the most lines
        widths[place] += 1
        spare -= 1
    return widths


def _raw(held: Any) -> str:
    """Return a value as a program reads it in a column."""
    if held is None:
        return ""
    if isinstance(held, str):
        return printable(held)
    return as_json(held)


def readable(
    item: Mapping[str, Any],
    path: str,
    currency: Any = None,
    *,
    language: str = "en",
    zone: tzinfo = UTC,
    now: datetime | None = None,
) -> str:
    """Return a value as a person reads it in a language: sums with their currency, times in a zone.

    ``currency``: of what the item is a part of, unless the item, or a part of it on the path, says its own. With ``now`` a time says how
    long ago it was, too.
    """
    held: Any = item
    for part in path.split("."):
        currency = currency_of(held) or currency
        held = held.get(part) if isinstance(held, Mapping) else None
    if (sum_ := sum_of(path.rpartition(".")[2], held, currency, language=language)) is not None:
        return sum_
    if isinstance(held, bool):
        return sentences(language)("yes" if held else "no")
    if times.as_time(held) is not None:
        return moment(held, language=language, zone=zone, now=now)
    field = path.rpartition(".")[2]
    if field.endswith("_seconds") and isinstance(held, int | float):
        return times.lasting(held, language=language)
    if isinstance(held, str) and field == "kind":
        return called(held, language)
    if isinstance(held, str) and field in OF_SENTENCES:
        told = words(language).gettext(label(held)) if held in LIMITS else held
        text = spoken(told, language=language, zone=zone)
        return times.lasting_in(text, language=language) if field == "waited" else text
    if isinstance(held, list):
        return "\n".join(_line(each, currency, language, zone) for each in held)
    return "" if held is None else _line(held, currency_of(held) or currency, language, zone)


def spoken(sentence: str, *, language: str, zone: tzinfo) -> str:
    """Return a sentence, or several lines of them, in a language, with the moments in it in a zone."""
    lines = sentence if language == "en" else "\n".join(map(sentences(language), sentence.split("\n")))
    return rewritten(lines, lambda at: moment(at.isoformat(), language=language, zone=zone))


def moment(written: str, *, language: str, zone: tzinfo, now: datetime | None = None) -> str:
    """Return a time of a service in a zone, and how far from ``now`` it is. In English as commands take it back."""
    try:
        there = datetime.fromisoformat(written).astimezone(zone)
        english = language == "en"
        said = f"{there:%Y-%m-%d %H:%M:%S %Z}" if english else times.moment(there, language=language, zone=zone)
        return said if now is None else f"{said} ({times.ago(there, now, language=language)})"
    except (ValueError, OverflowError):
        return written


def _line(held: Any, currency: Any, language: str, zone: tzinfo) -> str:
    if isinstance(held, Mapping):
        shown = (name for name in flat(held) if not name.endswith("error_stack"))
        return (" " * _GAP).join(
            f"{name}={readable(held, name, currency, language=language, zone=zone)}" for name in shown
        )
    return held if isinstance(held, str) else as_json(held)
