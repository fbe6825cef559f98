"""TLS of a process by its settings: the certificate of its listener, and whom its calls over https believe."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from common.http import Authorities, ServerCertificate
from common.service.files import ReadFile
from common.service.settings import ProcessSettings


class Tls:
    """What ``…_TLS_CERT_FILE`` with ``…_TLS_KEY_FILE`` and ``…_CA_FILE`` say. Without them: plain HTTP, and whom the machine believes.

    ``files`` are to be watched: each is in force within five seconds of a change. Raises ``ConfigurationError`` for a file that cannot
    be used at the start.
    """

    def __init__(self, settings: ProcessSettings) -> None:
        self.certificate: ServerCertificate | None = None
        self._authorities: Authorities | None = None
        if settings.tls_cert_file is not None and settings.tls_key_file is not None:
            self.certificate = ServerCertificate(settings.tls_cert_file, settings.tls_key_file)
        if settings.ca_file is not None:
            self._authorities = Authorities(settings.ca_file)

    @property
    def trusted(self) -> ssl.SSLContext | None:
        """Whom calls believe; None: whom the machine does."""
        return self._authorities.context if self._authorities is not None else None

    @property
    def files(self) -> Mapping[str, tuple[tuple[Path, ...], ReadFile]]:
        """The files by the name that ``configuration_file_broken`` says, and who takes their content over."""
        kept = {"certificate": self.certificate, "authorities": self._authorities}
        return {name: (each.files, each.renew) for name, each in kept.items() if each is not None}
