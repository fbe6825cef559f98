"""Looks for a person's words in everything that a running suite has written: tables, queues, files, logs, metrics."""

from __future__ import annotations

import base64
import binascii
import contextlib
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import aiohttp
import asyncpg
import zstandard
from yarl import URL

from suite_local.infrastructure.local import local_rabbitmq
from suite_local.paths import RunDirectory
from tests.support.suite_client import RunningSuite

Found = set[tuple[str, str]]
"""Places, each with a word that stands there."""

_TABLES = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
"""
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{24,}={0,2}")
_ESCAPED = re.compile(rb"\\u([0-9a-fA-F]{4})")
_DEEPEST = 3
# The servers' own files: what a table or queue holds is asked of the server, and rows that are gone stay in a file until it is rewritten.
_SERVERS = ("postgres", "rabbitmq")
_OUTSIDE = "sandbox.sqlite3"  # what the world outside remembers: its answers are looked into instead, a database's pages hold what is over


def words_in(raw: bytes, words: Iterable[str]) -> set[str]:
    """The words that stand in these bytes: as they are, in base64, escaped in JSON or an address, or compressed; in whatever case."""
    texts = [text.decode("utf-8", "ignore").casefold() for text in _readings(raw, 0)]
    return {word for word in words if any(word.casefold() in text for text in texts)}


def _readings(raw: bytes, depth: int) -> Iterator[bytes]:
    yield raw
    if depth == _DEEPEST:
        return
    if b"\\u" in raw:
        yield from _readings(
            _ESCAPED.sub(lambda found: chr(int(found[1], 16)).encode("utf-8", "ignore"), raw), depth + 1
        )
    if b"%D" in raw or b"%d" in raw:
        yield from _readings(unquote_to_bytes(raw), depth + 1)
    if raw[:2] == b"\x1f\x8b":
        yield from _readings(gzip.decompress(raw), depth + 1)
    elif raw[:1] == b"\x78":
        with contextlib.suppress(zlib.error):
            yield from _readings(zlib.decompress(raw), depth + 1)
    elif raw.startswith(zstandard.FRAME_HEADER):
        with contextlib.suppress(zstandard.ZstdError):
            yield from _readings(zstandard.decompress(raw), depth + 1)
    for found in _BASE64.findall(raw):
        try:
            yield from _readings(base64.b64decode(found + b"=" * (-len(found) % 4)), depth + 1)
        except binascii.Error:
            continue


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else str(value).encode("utf-8", "ignore")


async def in_tables(dsns: Mapping[str, str], words: Iterable[str]) -> Found:
    """Where the words stand in databases: ``database table.column``."""
    found: Found = set()
    for name, dsn in dsns.items():
        connection: Any = await asyncpg.connect(dsn)
        try:
            for (table,) in await connection.fetch(_TABLES):
                for row in await connection.fetch(f'SELECT * FROM "{table}"'):  # noqa: S608 - names of tables
                    found |= {
                        (f"{name} {table}.{column}", word)
                        for column, value in row.items()
                        if value is not None
                        for word in words_in(_bytes(value), words)
                    }
        finally:
            await connection.close()
    return found


async def in_queues(suite: RunningSuite, session: aiohttp.ClientSession, words: Iterable[str]) -> tuple[Found, int]:
    """Where the words stand in messages that wait, peeked at by the management API; and how many messages were looked at."""
    node = local_rabbitmq(RunDirectory(suite.directory), keep_ports=True)
    address = URL(node.api_url)
    headers = {"Authorization": aiohttp.encode_basic_auth(address.user or "", address.password or "")}
    base = str(address.with_user(None)).rstrip("/")
    base = base if base.endswith("/api") else f"{base}/api"
    found: Found = set()
    seen = 0
    async with session.get(f"{base}/queues", headers=headers) as answer:
        queues = await answer.json()
    for queue in queues:
        look = {"count": 1000, "ackmode": "ack_requeue_true", "encoding": "base64"}
        url = f"{base}/queues/{quote(queue['vhost'], safe='')}/{quote(queue['name'], safe='')}/get"
        async with session.post(URL(url, encoded=True), headers=headers, json=look) as answer:
            messages = await answer.json()
        assert isinstance(messages, list), messages
        seen += len(messages)
        found |= {
            (f"queue {queue['name']}", word) for each in messages for word in words_in(json.dumps(each).encode(), words)
        }
    return found, seen


def in_files(directory: Path, words: Iterable[str]) -> Found:
    """Where the words stand in files of the run directory, logs and spools among them; the servers' own data aside."""
    found: Found = set()
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory)
        if name.parts[0] in _SERVERS or name.parts[0].startswith(_OUTSIDE) or path.is_symlink() or not path.is_file():
            continue
        found |= {(f"file {name}", word) for word in words_in(path.read_bytes(), words)}
    return found


async def in_answers(session: aiohttp.ClientSession, addresses: Iterable[str], words: Iterable[str]) -> Found:
    """Where the words stand in what these addresses answer: metrics, logs of the sandbox."""
    found: Found = set()
    for url in addresses:
        async with session.get(url) as answer:
            assert answer.status == 200, (url, answer.status)
            found |= {(url, word) for word in words_in(await answer.read(), words)}
    return found
