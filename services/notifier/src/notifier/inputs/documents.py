"""The JSON documents of a body: one, several one after the other, or what stands whole before and behind a break."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

_BETWEEN = re.compile(r"[\s,\x00\x1e\ufeff]*")
_LIST = re.compile(r'"alerts"\s*:\s*\[')
_NEXT = re.compile(r"\s*([,\]])")
# An alert begins so in what Alertmanager and those who speak its format write.
_BEGINNING = re.compile(r'\{\s*"(?:status|labels|annotations|startsAt|fingerprint)"\s*:')
_SHOWN = 1000
_MOST_SPENT = 4  # times a body's length that are read in vain
_MOST_BROKEN = 200  # places of one body from which it is read on


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; what stands twice under "alerts" is all kept."""
    found = dict(pairs)
    if len(found) < len(pairs):
        lists = [value if isinstance(value, list) else [value] for name, value in pairs if name == "alerts"]
        if len(lists) > 1:
            found["alerts"] = [each for one in lists for each in one]
    return found


_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_object)


def value_of(text: str) -> Any:
    """Return a text's JSON value, line breaks within its strings included. Raises ``ValueError``."""
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def documents_of(content: bytes) -> list[Any]:
    """Return the documents of a body in any charset, or in the fields of a form. Raises ``ValueError`` when not all of it is JSON."""
    for charset in ("utf-8-sig", json.detect_encoding(content)):
        documents, rest = _leading(content.decode(charset, "replace"))
        if documents and not rest:
            return documents
    if content.lstrip()[:1] not in (b"{", b"["):
        found = []
        for values in parse_qs(content.decode("utf-8", "replace"), max_num_fields=100).values():
            for value in values:
                documents, rest = _leading(value)
                found += [each for each in documents if not rest and isinstance(each, dict | list)]
        if found:
            return found
    raise ValueError("the body is no JSON")


def salvaged(content: bytes) -> tuple[list[Any], Sequence[str], bool]:
    """Return what can be read of a broken body, what cannot, as text, and whether there is anything of a list of alerts."""
    documents, rest = _leading(content.decode("utf-8-sig", "replace"))
    place = 1 if rest.startswith("[") else None
    found = None if place is not None else _LIST.search(rest)
    if found is not None:
        place = found.end()
    if place is None:
        return documents, (rest,), False
    broken: list[str] = []
    tries, spent, closed = 0, 0, False
    while True:
        start = rest.find("{", place)
        if start < 0:
            _keep(broken, rest[place:])
            # What breaks off between two alerts has lost some too.
            return documents, broken if broken or closed else (rest[-_SHOWN:],), found is not None or bool(documents)
        _keep(broken, rest[place:start])
        try:
            alert, end = _DECODER.raw_decode(rest, start)
        except (ValueError, RecursionError) as error:
            tries += 1
            spent += getattr(error, "pos", start) - start
            following = (
                None if tries > _MOST_BROKEN or spent > _MOST_SPENT * len(rest) else _BEGINNING.search(rest, start + 1)
            )
            place = len(rest) if following is None else following.start()
            broken.append(rest[start:place])
            closed = False
            continue
        documents.append(alert)
        place = end
        following = _NEXT.match(rest, end)
        closed = following is not None and following[1] == "]"
        if following is not None and closed:
            more = _LIST.search(rest, following.end())
            place = following.end() if more is None else more.end()
            closed = more is None


def _keep(broken: list[str], text: str) -> None:
    if text.strip(" \t\r\n\0,[]}"):
        broken.append(text)


def _leading(text: str) -> tuple[list[Any], str]:
    """Return the documents with which a text begins, and what follows them."""
    documents: list[Any] = []
    place = _end_of_gap(text, 0)
    while place < len(text):
        try:
            document, end = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            break
        documents.append(document)
        place = _end_of_gap(text, end)
    return documents, text[place:]


def _end_of_gap(text: str, place: int) -> int:
    found = _BETWEEN.match(text, place)
    return place if found is None else found.end()
