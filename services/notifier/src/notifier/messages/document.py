"""The render tree: what is said, before it is known in which channel, and the pages that it is cut into.

A document is a title and sections of lines, with buttons; a line is a row of styled spans. Channels turn lines into their own mark-up
and cut between lines, so no mark-up is ever cut in two. A page is what fits into one message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

LONGEST_DATA = 64  # bytes: Telegram's limit of callback_data
LONGEST_LABEL = 75  # characters: Slack's limit of a button's text
_LONGEST_LINK = 600

Style = Literal["plain", "bold", "italic", "code", "strike"]


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text of one style. ``link`` makes it a link; ``text`` is raw, each channel escapes it.

    ``handles`` tag a person: (channel, the person's name or id there); a channel without one shows the text.
    """

    text: str
    style: Style = "plain"
    link: str | None = None
    handles: tuple[tuple[str, str], ...] = ()

    def handle(self, channel: str) -> str | None:
        """Return how a channel knows the person, or None."""
        return dict(self.handles).get(channel)


Line = tuple[Span, ...]
"""One line; it holds no line break."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Lines that belong together, under a heading or none; ``bullets`` puts a mark before each."""

    lines: tuple[Line, ...]
    heading: Line = ()
    bullets: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """One button under a message. ``data`` (1 to 64 bytes) comes back when it is pressed, from Telegram and from Slack alike."""

    label: str
    data: str
    style: Literal["primary", "danger"] | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.data.encode()) <= LONGEST_DATA:
            raise ValueError("a button's data has 1 to 64 bytes")
        if not 1 <= len(self.label) <= LONGEST_LABEL:
            raise ValueError("a button's label has 1 to 75 characters")


Keyboard: TypeAlias = tuple[tuple[Button, ...], ...]
"""Rows of buttons; empty clears what stood there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One complete notice, with its buttons. ``again`` says what it is about: each message after the first begins with it."""

    title: Line
    sections: tuple[Section, ...] = ()
    buttons: tuple[Button, ...] = ()
    again: Line = ()

    def flatten(self) -> tuple[Line, ...]:
        """Return every line in reading order, headings and bullets included."""
        lines: list[Line] = [self.title]
        for section in self.sections:
            if section.heading:
                lines.append(section.heading)
            mark = (Span("• "),) if section.bullets else ()
            lines.extend(mark + line for line in section.lines)
        return tuple(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the document as JSON values, the way the notification log keeps it."""
        return {
            "title": _line_to_json(self.title),
            "sections": [
                {
                    "heading": _line_to_json(section.heading),
                    "lines": [_line_to_json(line) for line in section.lines],
                    "bullets": section.bullets,
                }
                for section in self.sections
            ],
            "buttons": [[button.label, button.data, button.style] for button in self.buttons],
            "again": _line_to_json(self.again),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Document:
        """Read back what ``to_json`` made. Raises ``KeyError`` or ``TypeError`` on anything else."""
        return cls(
            title=_line_from_json(value["title"]),
            sections=tuple(
                Section(
                    heading=_line_from_json(section["heading"]),
                    lines=tuple(_line_from_json(line) for line in section["lines"]),
                    bullets=section["bullets"],
                )
                for section in value["sections"]
            ),
            buttons=buttons_from(value.get("buttons", ())),
            again=_line_from_json(value.get("again", ())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The lines of one message's worth of a document. ``number`` of ``count``, from 1."""

    lines: tuple[Line, ...]
    number: int = 1
    count: int = 1


def buttons_from(value: Sequence[Sequence[Any]]) -> tuple[Button, ...]:
    """Read back the buttons that ``to_json`` made."""
    return tuple(Button(label=label, data=data, style=style) for label, data, style in value)


def plain(text: str) -> Span:
    """Return a plain span on one line: line breaks and runs of blanks become one blank."""
    return Span(one_line(text))


def bold(text: str) -> Span:
    """Return a bold span on one line."""
    return Span(one_line(text), "bold")


def code(text: str) -> Span:
    """Return a monospaced span on one line; chats let a person copy it with one touch."""
    return Span(one_line(text), "code")


def one_line(text: str) -> str:
    """Join a text to one line and drop control characters, which providers refuse or show as boxes.

    Blanks at the ends stay: spans are put side by side.
    """
    if text.isprintable():
        return text
    kept = "".join(
        " " if character.isspace() else character
        for character in text
        if character.isprintable() or character.isspace()
    )
    return " ".join(kept.split()) if kept.strip() else " "


def shorten(text: str, longest: int) -> str:
    """Return at most ``longest`` characters; "…" stands for what was cut."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def text_of(line: Sequence[Span]) -> str:
    """Return a line without any mark-up."""
    return "".join(span.text for span in line)


def split_line(line: Line, longest: int) -> list[Line]:
    """Cut a line into lines whose spans have at most ``longest`` characters of text together; styles are kept, nothing is lost.

    Words stay whole, unless one alone is longer than half of that.
    """
    if sum(len(span.text) for span in line) <= longest:
        return [line]
    pieces: list[Line] = []
    current: list[Span] = []
    room = longest
    for span in line:
        rest = span.text
        while rest:
            end = _border(rest, room, longest)
            if end:
                part, rest = rest[:end], rest[end:]
                current.append(Span(part, span.style, span.link, span.handles if not rest else ()))
                room -= len(part)
            if rest:
                pieces.append(tuple(current))
                current, room = [], longest
    if current:
        pieces.append(tuple(current))
    return pieces


def _border(text: str, room: int, longest: int) -> int:
    """Where to cut a text that has ``room`` characters left on its line: behind a blank, if one stands in the second half of the line."""
    if len(text) <= room:
        return len(text)
    blank = text.rfind(" ", 0, room) + 1
    return blank if blank and longest - room + blank > longest // 2 else room


def with_marks(page: Page, mark: str | None) -> tuple[Line, ...]:
    """Return the page's lines with the mark before them and "(2/3)" behind the first when the notice has several pages."""
    lines = page.lines
    if page.count > 1 and lines:
        lines = ((*lines[0], Span(f" ({page.number}/{page.count})", "italic")), *lines[1:])
    return ((Span(mark, "italic"),), *lines) if mark else lines


def escape(text: str) -> str:
    """Escape what Telegram's HTML mode and Slack's notifications both take as mark-up."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def short_link(link: str) -> str | None:
    """Return a link escaped for mark-up, or None for one that would not leave room for a piece of a line on the page."""
    escaped = escape(link).replace('"', "&quot;")
    return escaped if len(escaped) <= _LONGEST_LINK else None


def cut(document: Document, *, cost: Callable[[Line], int], limit: int, longest_line: int) -> tuple[Page, ...]:
    """Fill pages greedily. ``cost`` is of a line as it will be sent; a line whose text is longer than ``longest_line`` is cut.

    A line of that length must fit on a page however its text is escaped; one that is cut leaves room for what a page begins with.
    """
    again = split_line(document.again, longest_line // 2)[:1] if document.again else []
    longest = longest_line - sum(len(text_of(line)) for line in again)
    pages: list[list[Line]] = [[]]
    used = 0
    for whole in document.flatten():
        for line in split_line(whole, longest):
            price = cost(line)
            if pages[-1] and used + price > limit:
                pages.append([*again])
                used = sum(map(cost, again))
            pages[-1].append(line)
            used += price
    return tuple(Page(lines=tuple(lines), number=index + 1, count=len(pages)) for index, lines in enumerate(pages))


def _line_to_json(line: Line) -> list[list[Any]]:
    return [
        [span.text, span.style, span.link, [list(handle) for handle in span.handles]]
        if span.handles
        else [span.text, span.style, span.link]
        for span in line
    ]


def _line_from_json(value: Sequence[Sequence[Any]]) -> Line:
    return tuple(
        Span(text, style, link, tuple((str(channel), str(handle)) for handles in more for channel, handle in handles))
        for text, style, link, *more in value
    )
