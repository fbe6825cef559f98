"""TLS of HTTP: the certificate that a server shows and the authorities that a client believes, each renewed while it is in use."""

from __future__ import annotations

import ssl
from pathlib import Path

from common.errors import ConfigurationError
from common.tls import tls_complaint


class ServerCertificate:
    """A certificate with its key, from two files in PEM form; the first may hold the authorities between, too.

    ``renew`` reads both anew: whoever connects from then on is shown the new one, and connections that are open, with what is answered
    on them, are not touched. Files that do not fit together (one is written before the other) change nothing. Both the constructor and
    ``renew`` raise ``ConfigurationError``, which names the files and holds nothing of them.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self.files = (certificate, key)
        self._shown = self._read()
        self.context = self._read()
        # Called for each connection, whether it names a host or not.
        self.context.sni_callback = self._show

    def renew(self, _content: bytes = b"") -> None:
        """Show what the files hold now."""
        self._shown = self._read()

    def _show(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._shown

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        certificate, key = self.files
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ValueError) as error:
            why = tls_complaint(error) or str(error)
            raise ConfigurationError(
                f"the certificate {certificate} with the key {key} cannot be used: {why}"
            ) from None
        return context


class Authorities:
    """Whom a client believes: those that the machine does, and those of a file in PEM form.

    ``renew`` adds what the file holds now, for connections made from then on; one that the file no longer holds is believed until the
    process ends. Raises ``ConfigurationError``, as the constructor does.
    """

    def __init__(self, file: Path) -> None:
        self.files = (file,)
        self.context = ssl.create_default_context()
        try:
            self.renew(file.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"the authorities {file} cannot be read: {error.strerror}") from None

    def renew(self, content: bytes) -> None:
        """Believe those of the content, too."""
        try:
            self.context.load_verify_locations(cadata=content.decode("ascii"))
        except (ssl.SSLError, ValueError):
            raise ConfigurationError(f"the authorities {self.files[0]} are no certificates in PEM form") from None


def _no_password() -> str:
    """Answer for the terminal that OpenSSL would ask for the word of an encrypted key."""
    raise ValueError("the key is encrypted")
