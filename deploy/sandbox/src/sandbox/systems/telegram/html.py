"""Telegram's HTML parse mode: text and entities, or the words Telegram refuses with.

Written from the documented rules and the observable behaviour of the Bot API server; byte offsets in messages count
UTF-8 bytes, entity offsets count UTF-16 code units. Where versions differ, the stricter one is followed.
"""

import re
from dataclasses import dataclass
from typing import Any

TAG_TYPES = {
    "a": "text_link",
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "span": "spoiler",
    "tg-spoiler": "spoiler",
    "tg-emoji": "custom_emoji",
}
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_REFERENCE = re.compile(rb"&(?:#(?P<dec>[0-9]{1,8})|#[xX](?P<hex>[0-9a-fA-F]{1,8})|(?P<name>[a-z]{2,4}));?")
_SPACE = b" \t\n\r\0\x0b"


class EntityError(Exception):
    """The text cannot be parsed; its message is what Telegram says after "can't parse entities: "."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What is shown, and how."""

    text: str
    entities: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Open:
    tag: str
    argument: str
    start: int


def utf16_length(text: str) -> int:
    """Length as Telegram counts it, in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def parse_html(source: str) -> Parsed:
    """Parse `source`; raises EntityError."""
    return _Parser(source.encode("utf-8", "surrogatepass")).run()


class _Parser:
    """One pass over the bytes; a zero byte stands for the end, as it ends a text there too."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.at = 0
        self.out: list[str] = []
        self.length = 0
        self.open: list[_Open] = []
        self.entities: list[dict[str, Any]] = []

    def run(self) -> Parsed:
        while self.at < len(self.source):
            byte = self.source[self.at : self.at + 1]
            if byte == b"<":
                begin = self.at
                self.at += 1
                if self._peek() == b"/":
                    self._end_tag(begin)
                else:
                    self._start_tag(begin)
            else:
                self._text()
        if self.open:
            raise EntityError(f'Can\'t find end tag corresponding to start tag "{self.open[-1].tag}"')
        text = "".join(self.out)
        if any(0xD800 <= ord(sign) <= 0xDFFF for sign in text):
            raise EntityError(
                "Text contains invalid Unicode characters after decoding HTML entities,"
                " check for unmatched surrogate code units"
            )
        self.entities.sort(key=lambda entity: (entity["offset"], -entity["length"]))
        return Parsed(text=text, entities=self.entities)

    def _peek(self) -> bytes:
        return self.source[self.at : self.at + 1]

    def _at_end(self) -> bool:
        return self.at >= len(self.source)

    def _in_space(self) -> bool:
        return not self._at_end() and self._peek() in _SPACE

    def _skip_space(self) -> None:
        while self._in_space():
            self.at += 1

    def _emit(self, text: str) -> None:
        self.out.append(text)
        self.length += utf16_length(text)

    def _text(self) -> None:
        """Plain text up to the next tag, with character references decoded; unknown ones stay as they are."""
        end = self.source.find(b"<", self.at)
        end = len(self.source) if end < 0 else end
        self._emit(_decode(self.source[self.at : end]))
        self.at = end

    def _start_tag(self, begin: int) -> None:
        start = self.at
        while not self._at_end() and not self._in_space() and self._peek() != b">":
            self.at += 1
        if self._at_end():
            raise EntityError(f"Unclosed start tag at byte offset {begin}")
        tag = self.source[start : self.at].decode("utf-8", "replace").lower()
        if tag not in TAG_TYPES:
            raise EntityError(f'Unsupported start tag "{tag}" at byte offset {begin}')
        argument = ""
        while True:
            self._skip_space()
            if self._peek() == b">":
                break
            argument = self._attribute(tag, begin, argument)
        self.at += 1
        if tag == "span" and argument != "tg-spoiler":
            raise EntityError(f'Tag "span" must have class "tg-spoiler" at byte offset {begin}')
        self.open.append(_Open(tag, argument, self.length))

    def _attribute(self, tag: str, begin: int, argument: str) -> str:
        """Read one attribute; returns the argument that counts for `tag` (address, class or language)."""
        start = self.at
        while not self._at_end() and not self._in_space() and self._peek() not in (b"=", b">"):
            self.at += 1
        name = self.source[start : self.at].decode("utf-8", "replace").lower()
        if self._at_end() and not name:
            raise EntityError(f"Unclosed start tag at byte offset {begin}")
        if not name:
            raise EntityError(f'Empty attribute name in the tag "{tag}" at byte offset {begin}')
        self._skip_space()
        if self._peek() != b"=":
            if tag == "blockquote" and name == "expandable":
                return "expandable"
            raise EntityError(
                f'Expected equal sign in declaration of an attribute of the tag "{tag}" at byte offset {begin}'
            )
        self.at += 1
        self._skip_space()
        if self._at_end():
            raise EntityError(f'Unclosed start tag "{tag}" at byte offset {begin}')
        value = self._attribute_value()
        if self._at_end():
            raise EntityError(f"Unclosed start tag at byte offset {begin}")
        counts = {"a": "href", "span": "class", "code": "class", "tg-emoji": "emoji-id"}.get(tag)
        if name != counts:
            return argument
        return value.removeprefix("language-") if tag == "code" else value

    def _attribute_value(self) -> str:
        quote = self._peek()
        if quote in (b"'", b'"'):
            end = self.source.find(quote, self.at + 1)
            end = len(self.source) if end < 0 else end
            value = _decode(self.source[self.at + 1 : end])
            self.at = min(end + 1, len(self.source))
            return value
        start = self.at
        while self._peek().isalnum() or self._peek() in (b".", b"-"):
            self.at += 1
        if self._at_end() or not (self._in_space() or self._peek() == b">"):
            raise EntityError(f"Unexpected end of name token at byte offset {start}")
        return self.source[start : self.at].decode("ascii").lower()

    def _end_tag(self, begin: int) -> None:
        if not self.open:
            raise EntityError(f"Unexpected end tag at byte offset {begin}")
        self.at += 1
        start = self.at
        while not self._at_end() and not self._in_space() and self._peek() != b">":
            self.at += 1
        found = self.source[start : self.at].decode("utf-8", "replace").lower()
        self._skip_space()
        if self._peek() != b">":
            raise EntityError(f"Unclosed end tag at byte offset {begin}")
        self.at += 1
        tag = self.open.pop()
        if found and found != tag.tag:
            raise EntityError(f'Unmatched end tag at byte offset {begin}, expected "</{tag.tag}>", found "</{found}>"')
        self._close(tag)

    def _close(self, tag: _Open) -> None:
        length = self.length - tag.start
        if length == 0:
            return
        kind = TAG_TYPES[tag.tag]
        entity: dict[str, Any] = {"type": kind, "offset": tag.start, "length": length}
        if tag.tag == "a":
            address = tag.argument or self._shown_since(tag.start)
            if not is_web_address(address):
                return  # Telegram drops a link it does not like and keeps its text
            entity["url"] = address
        elif tag.tag == "code" and tag.argument and self.open and self.open[-1].tag == "pre":
            entity["language"] = tag.argument
        elif tag.tag == "tg-emoji":
            entity["custom_emoji_id"] = tag.argument
        elif tag.argument == "expandable":
            entity["type"] = "expandable_blockquote"
        self.entities.append(entity)

    def _shown_since(self, start: int) -> str:
        return "".join(self.out).encode("utf-16-le", "surrogatepass")[start * 2 :].decode("utf-16-le", "replace")


def is_web_address(address: str) -> bool:
    """Whether Telegram makes a link or a button of it: a host with a dot, so never a bare name such as localhost."""
    found = re.fullmatch(
        r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?P<host>[^/?#:\s]+)(?::\d+)?(?:[/?#]\S*)?", address
    )
    if found is None:
        return False
    scheme = (found["scheme"] or "http").lower()
    if scheme == "tg":
        return True
    return scheme in ("http", "https") and "." in found["host"].strip(".")


def _decode(source: bytes) -> str:
    decoded = _REFERENCE.sub(_reference, source)
    return decoded.decode("utf-8", "surrogatepass")


def _reference(found: re.Match[bytes]) -> bytes:
    if found["name"] is not None:
        sign = _NAMED.get(found["name"].decode())
        return found.group() if sign is None else sign.encode()
    code = int(found["dec"]) if found["dec"] is not None else int(found["hex"], 16)
    if code == 0 or code >= 0x10FFFF:
        return found.group()
    return chr(code).encode("utf-8", "surrogatepass")
