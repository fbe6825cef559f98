"""A container's health check: ask the service's own probe. Exit code 0 when it answers 200, else 1 and one line that says why.

Standard library only, started every few seconds: no curl in the image, no import of the service. The address is the image's
``SUITE_HEALTH_URL``; an argument replaces the last part of its path (``healthcheck readyz``). Where the service is told a certificate
for its listener it is asked over TLS, whoever the certificate is of: it is ourselves, on loopback, and nothing is told it.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys
from urllib.parse import urlsplit

TIMEOUT = 3.0
"""Seconds for the whole answer; the container's own time-out for the check is longer."""


def probe(url: str, *, last_part: str | None = None) -> str | None:
    """Return None when the probe answers 200, else what was wrong with it."""
    parts = urlsplit(url)
    path = f"{parts.path.rpartition('/')[0]}/{last_part}" if last_part else parts.path
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    if any(value for name, value in os.environ.items() if name.endswith("_TLS_CERT_FILE")):
        anybody = ssl.create_default_context()
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        https = http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=anybody)
        connection: http.client.HTTPConnection = https
    else:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{path}: {type(error).__name__}"
    finally:
        connection.close()
    return None if status == http.client.OK else f"{path}: {status}"


def main(arguments: list[str]) -> int:
    """Probe once; return the exit code."""
    trouble = probe(os.environ["SUITE_HEALTH_URL"], last_part=arguments[0] if arguments else None)
    if trouble is not None:
        sys.stderr.write(trouble + "\n")
    return 0 if trouble is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
