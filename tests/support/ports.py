"""Whether a port has somebody behind it."""

from __future__ import annotations

import socket


def is_answering(port: int, host: str = "127.0.0.1", timeout_s: float = 0.5) -> bool:
    """Say whether something accepts connections on the port."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return True
    except OSError:
        return False
