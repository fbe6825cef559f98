"""Waiting for a PostgreSQL that starts: what it refused over TLS until then is closed, and not left to the garbage."""

from __future__ import annotations

import gc
import socket
import ssl
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from suite_local.infrastructure.postgres import wait_for_postgres
from suite_local.ports import LOOPBACK
from tests.support.certificates import Authority

_STARTING = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
_READY = (b"Z", b"I")
_WELCOME = ((b"R", struct.pack("!i", 0)), (b"S", b"server_version\x0015.0\0"), _READY)


class _Starting:
    """Speaks as much of PostgreSQL's protocol over TLS as is asked for here; the first so many are told that it starts."""

    def __init__(self, context: ssl.SSLContext, *, refuses: int) -> None:
        self._context = context
        self._refuses = refuses
        self.asked = 0
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        refused: list[ssl.SSLSocket] = []  # closed when the next one comes: a server that starts is slow to do it
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                break
            for each in refused:
                each.close()
            self.asked += 1
            accepted.recv(8)  # asks whether there is TLS
            accepted.sendall(b"S")
            link = self._context.wrap_socket(accepted, server_side=True)
            link.recv(4096)  # who comes, and to which database
            if self.asked <= self._refuses:
                _say(link, (b"E", _STARTING))
                refused.append(link)
                continue
            _say(link, *_WELCOME)
            link.recv(4096)  # the query
            _say(link, (b"C", b"SELECT 1\0"), _READY)
            link.recv(4096)  # goodbye
            link.close()
        for each in refused:
            each.close()

    def end(self) -> None:
        """Take nobody any more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def _say(link: ssl.SSLSocket, *messages: tuple[bytes, bytes]) -> None:
    link.sendall(b"".join(kind + struct.pack("!i", len(body) + 4) + body for kind, body in messages))


@contextmanager
def _starting(folder: Path, *, refuses: int) -> Iterator[tuple[_Starting, str]]:
    authority = Authority(folder)
    authority.issue(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    server = _Starting(context, refuses=refuses)
    try:
        yield (
            server,
            f"postgresql://suite:word@{LOOPBACK}:{server.port}/suite?sslmode=verify-full&sslrootcert={authority.file}",
        )
    finally:
        server.end()


def test_what_was_refused_over_tls_while_it_started_is_closed(tmp_path: Path) -> None:
    with _starting(tmp_path, refuses=3) as (server, dsn), warnings.catch_warnings(record=True) as left_open:
        warnings.simplefilter("always")
        wait_for_postgres(dsn, timeout_s=60)
        gc.collect()
    assert server.asked == 4
    assert [str(each.message) for each in left_open if each.category is ResourceWarning] == []
