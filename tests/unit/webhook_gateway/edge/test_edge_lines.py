"""Lines of nginx's log: what they say, and what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from webhook_gateway.edge.log_files import log_files, read_piece
from webhook_gateway.edge.model import read_line


def line(**changes: Any) -> bytes:
    """A line as nginx writes it."""
    fields = {
        "at": 1_764_400_000.123,
        "id": "1",
        "request_id": "r-1",
        "method": "POST",
        "path": "/api/v1/orders/",
        "status": 503,
        "upstream_status": "502, 502",
        "client": "198.51.100.7",
        "size": 321,
        "idempotency_key": "edge-1",
    }
    return json.dumps({**fields, **changes}, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("path", "address", "source"),
    [
        ("/hooks/v1/sbermarket", "hook", "sbermarket"),
        ("//hooks/v1//kuper/", "hook", "kuper"),
        ("/sbermarket/orders/hook", "hook", "sbermarket"),
        ("/api/v1/orders/", "website", None),
        ("/api/v1/order", "website", None),
        ("/api/orders", "website", None),
        ("/v1/Orders", "website", None),
        ("/hooks/v1/", "other", None),
        ("/alerts/v1/alertmanager/", "webhook", None),
        ("/notifications/v1/yookassa", "webhook", None),
        ("/alerts/v1/other", "other", None),
        ("/wp-login.php", "other", None),
        ("", "other", None),
    ],
)
def test_the_path_says_what_was_meant(path: str, address: str, source: str | None) -> None:
    request = read_line(line(path=path))
    assert request is not None
    assert (request.address, request.source) == (address, source)


@pytest.mark.parametrize(("method", "is_order"), [("POST", True), ("PUT", True), ("GET", False), ("OPTIONS", False)])
def test_only_what_has_a_body_may_be_an_order(method: str, is_order: bool) -> None:
    request = read_line(line(method=method))
    assert request is not None
    assert request.is_order is is_order


def test_a_line_with_bytes_that_are_no_text_is_read_all_the_same() -> None:
    """A browser of somebody's that sends Latin-1 loses no order: its line was counted as unreadable."""
    written = line(path="/api/v1/orders/?name=X", idempotency_key="key-X").replace(b"X", b"\xe9")
    request = read_line(written)
    assert request is not None
    assert (request.is_order, request.path, request.idempotency_key) == (True, "/api/v1/orders/?name=?", "key-\ufffd")


def test_a_line_has_the_same_id_however_often_it_is_read() -> None:
    first, again, other = read_line(line()), read_line(line()), read_line(line(id="2"))
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.delivery_id == again.delivery_id != other.delivery_id


def test_of_two_lines_that_a_full_disk_glued_together_the_whole_one_is_read() -> None:
    glued = line(path="/api/v1/first")[:40] + line(path="/api/v1/second")
    request = read_line(glued)
    assert request is not None
    assert request.path == "/api/v1/second"


@pytest.mark.parametrize(
    "broken", [b"", b"{}", b"no json", line()[:-5], line(at="never"), line(status="?"), line(size=None, at=1e30)]
)
def test_what_is_no_line_of_ours_is_none(broken: bytes) -> None:
    assert read_line(broken) is None


def test_a_path_with_control_characters_is_made_printable() -> None:
    request = read_line(line(path="/api/\u0000\u001b[31m" + "x" * 500))
    assert request is not None
    assert request.path.startswith("/api/??[31m")
    assert len(request.path) == 200


def test_a_renamed_file_is_the_same_one_and_a_new_one_under_its_name_is_not(tmp_path: Path) -> None:
    current = tmp_path / "intake.log"
    current.write_bytes(line(id="1") + b"\n")
    (before,) = log_files(tmp_path)
    current.rename(tmp_path / "intake.log.1")
    current.write_bytes(line(id="2") + b"\n")
    assert {file.first_line for file in log_files(tmp_path)} > {before.first_line}
    assert read_piece(before, 0, 1000).lines == ()  # its name is another file's by now


def test_a_last_line_without_an_end_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "intake-1.log"
    path.write_bytes(line(id="1") + b"\n" + line(id="2")[:30])
    (file,) = log_files(tmp_path)
    piece = read_piece(file, 0, 100_000)
    assert (len(piece.lines), piece.end) == (1, len(line(id="1")) + 1)
    with path.open("ab") as stream:
        stream.write(line(id="2")[30:] + b"\n")
    assert read_piece(file, piece.end, 100_000).lines == [line(id="2")]


def test_files_without_a_whole_line_and_compressed_ones_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "intake-1.log").write_bytes(b"")
    (tmp_path / "intake-2.log").write_bytes(line()[:20])
    (tmp_path / "intake-3.log.gz").write_bytes(line() + b"\n")
    assert log_files(tmp_path) == []
