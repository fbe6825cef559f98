"""Audit records as lines of a file. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

COLUMNS = ("at", "service", "actor", "role", "action", "target", "reason", "before", "after", "request_id", "id")
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def csv_line(values: Mapping[str, Any] | None) -> str:
    """Return a line of CSV, of the names of columns without a record. No spreadsheet takes a value of it for a formula."""
    text = io.StringIO()
    cells = COLUMNS if values is None else [_cell(values.get(name)) for name in COLUMNS]
    csv.writer(text).writerow(cells)
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.startswith(_FORMULAS) else text


def json_line(record: Mapping[str, Any], *, first: bool) -> str:
    """Return a record as an element of a JSON array."""
    return ("\n" if first else ",\n") + json.dumps(record, ensure_ascii=False)
