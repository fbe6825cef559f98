"""Certificates of this machine's own address, the authority that signs them, and clients that trust it."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from suite_local.ports import LOOPBACK

ONE_DAY = timedelta(days=1)
ONE_HOUR = timedelta(hours=1)


class Authority:
    """Signs certificates; ``file`` holds its own, by which those are believed."""

    def __init__(self, folder: Path, name: str = "this test's authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        own = self._unsigned(self._name, self._key, ends=datetime.now(UTC) + ONE_DAY).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.file = folder / "ca.crt"
        self.file.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(
        self, folder: Path, *, names: Sequence[str] = (LOOPBACK,), expired: bool = False, word: bytes | None = None
    ) -> None:
        """Write ``tls.crt`` and ``tls.key`` into a folder: for these host names and addresses, for a day or until a moment ago.

        ``word`` encrypts the key.
        """
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a server of this test")])
        ends = datetime.now(UTC) + (timedelta(minutes=-1) if expired else ONE_DAY)
        made = self._unsigned(subject, key, ends=ends).add_extension(
            x509.SubjectAlternativeName([_named(name) for name in names]), critical=False
        )
        certificate = made.sign(self._key, hashes.SHA256())
        (folder / "tls.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        hidden = serialization.NoEncryption() if word is None else serialization.BestAvailableEncryption(word)
        (folder / "tls.key").write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
        )

    def trusted(self) -> ssl.SSLContext:
        """Return what a client needs to believe what is signed here, and nothing else."""
        return ssl.create_default_context(cafile=str(self.file))

    def _unsigned(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ends: datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - ONE_HOUR)
            .not_valid_after(ends)
        )


def certificate_in(folder: Path) -> ssl.SSLContext:
    """Write ``tls.crt`` and ``tls.key`` into a folder; return what a client needs to believe them, and nothing else."""
    authority = Authority(folder)
    authority.issue(folder)
    return authority.trusted()


def _named(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
