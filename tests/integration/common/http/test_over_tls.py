"""The listener over TLS: who believes it is answered, who speaks otherwise is not, and a renewed certificate cuts nobody off."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from common.errors import ConfigurationError
from common.http import Authorities, HttpServer, ServerCertificate, new_session
from common.service import Lifecycle, ProcessSettings, Tls, load_settings, watch_files
from common.telemetry.metrics import new_registry
from tests.support.certificates import Authority
from tests.support.servers import eventually

SECONDS = 0.3


@dataclass
class Listening:
    """A server over TLS, whose answers wait until they are let go."""

    server: HttpServer
    certificate: ServerCertificate
    folder: Path
    authority: Authority
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self, trusted: ssl.SSLContext) -> int:
        """Ask on a connection of its own."""
        async with new_session(trusted=trusted) as session, session.get(self.server.url + "/at-once") as answer:
            return answer.status


@pytest.fixture
async def listening(tmp_path: Path) -> AsyncIterator[Listening]:
    """A server that shows a certificate of the test's authority."""
    authority = Authority(tmp_path / "authority")
    authority.issue(tmp_path / "tls")
    certificate = ServerCertificate(tmp_path / "tls" / "tls.crt", tmp_path / "tls" / "tls.key")
    app = web.Application()
    server = HttpServer(app, "127.0.0.1", 0, certificate=certificate, head_seconds=SECONDS)
    made = Listening(server, certificate, tmp_path / "tls", authority)

    async def waiting(_: web.Request) -> web.Response:
        made.asked.set()
        await made.let_go.wait()
        return web.Response(text="late")

    async def at_once(_: web.Request) -> web.Response:
        return web.Response()

    app.router.add_get("/waiting", waiting)
    app.router.add_get("/at-once", at_once)
    async with server:
        yield made


async def test_a_renewed_certificate_is_shown_and_what_is_under_way_is_answered(listening: Listening) -> None:
    async with new_session(trusted=listening.authority.trusted()) as session:
        under_way = asyncio.create_task(session.get(listening.server.url + "/waiting"))
        await listening.asked.wait()
        other = Authority(listening.folder.parent / "other", "the next authority")
        other.issue(listening.folder)
        listening.certificate.renew()
        assert await listening.get(other.trusted()) == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await listening.get(listening.authority.trusted())
        listening.let_go.set()
        assert await (await under_way).text() == "late"
        async with session.get(listening.server.url + "/at-once") as answer:  # the connection is kept, too
            assert answer.status == 200


async def test_half_a_renewal_changes_nothing_and_is_named(listening: Listening) -> None:
    kept = (listening.folder / "tls.key").read_bytes()
    listening.authority.issue(listening.folder)
    (listening.folder / "tls.key").write_bytes(kept)
    with pytest.raises(ConfigurationError, match=r"tls\.crt with the key .*tls\.key cannot be used: TLS failed: key"):
        listening.certificate.renew()
    assert await listening.get(listening.authority.trusted()) == 200


async def test_who_does_not_believe_it_or_speaks_plainly_is_not_answered(listening: Listening) -> None:
    with pytest.raises(aiohttp.ClientConnectorCertificateError, match="unable to get local issuer"):
        await listening.get(ssl.create_default_context())
    listening.authority.issue(listening.folder, names=["elsewhere.example"])
    listening.certificate.renew()
    with pytest.raises(aiohttp.ClientConnectorCertificateError, match="IP address mismatch"):
        await listening.get(listening.authority.trusted())
    listening.authority.issue(listening.folder, expired=True)
    listening.certificate.renew()
    with pytest.raises(aiohttp.ClientConnectorCertificateError, match="has expired"):
        await listening.get(listening.authority.trusted())
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(listening.server.url.replace("https", "http") + "/at-once")


async def test_a_handshake_that_does_not_come_to_an_end_ends_with_its_connection(listening: Listening) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.server.port)
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()


async def test_the_files_of_the_settings_are_in_force_soon_after_a_change(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, file in (("CERT", "tls.crt"), ("KEY", "tls.key")):
        monkeypatch.setenv(f"TLS_{name}_FILE", str(listening.folder / file))
    monkeypatch.setenv("CA_FILE", str(listening.authority.file))
    monkeypatch.setenv("PORT", "0")
    tls, lifecycle, registry = Tls(load_settings(ProcessSettings)), Lifecycle(), new_registry()
    watch_files(lifecycle, registry, tls.files)
    assert tls.certificate is not None
    assert tls.trusted is not None

    def broken(file: str) -> float | None:
        return registry.get_sample_value("configuration_file_broken", {"file": file})

    async def sound() -> bool:
        return [broken(file) for file in ("certificate", "authorities")] == [0, 0]

    try:
        await eventually(sound, what="a first look")
        async with HttpServer(web.Application(), "127.0.0.1", 0, certificate=tls.certificate) as server:
            other = Authority(listening.folder.parent / "other", "the next authority")
            other.issue(listening.folder)
            trusted = other.trusted()

            async def renewed() -> bool:
                try:
                    async with new_session(trusted=trusted) as session, session.get(server.url) as answer:
                        return answer.status == 404
                except aiohttp.ClientConnectorCertificateError:
                    return False

            await eventually(renewed, what="the renewed certificate shown")
            listening.authority.file.write_bytes(other.file.read_bytes())
            trusted = tls.trusted
            await eventually(renewed, what="the other authority believed")
            (listening.folder / "tls.crt").write_text("half a file")

            async def named() -> bool:
                return broken("certificate") == 1

            await eventually(named, what="the broken certificate named")
            assert await renewed()
            other.issue(listening.folder)
            await eventually(sound, what="it is mended")
    finally:
        await lifecycle.drain()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"TLS_CERT_FILE": "/nowhere/tls.crt"}, "tls_cert_file and tls_key_file belong together"),
        ({"TLS_CERT_FILE": "/nowhere/tls.crt", "TLS_KEY_FILE": "/nowhere/tls.key"}, "/nowhere/tls.crt with the key"),
        ({"CA_FILE": "/nowhere/ca.crt"}, "the authorities /nowhere/ca.crt cannot be read"),
        ({"CA_FILE": "/dev/null"}, "/dev/null are no certificates in PEM form"),
    ],
)
def test_files_that_cannot_be_used_at_the_start_are_named(
    told: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PORT": "0", **told}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=said):
        Tls(load_settings(ProcessSettings))


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_word(tmp_path: Path) -> None:
    Authority(tmp_path / "authority").issue(tmp_path, word=b"secret")
    with pytest.raises(ConfigurationError, match="the key is encrypted"):
        ServerCertificate(tmp_path / "tls.crt", tmp_path / "tls.key")


def test_authorities_of_a_file_are_believed_beside_the_machines_own(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    machines = ssl.create_default_context().cert_store_stats()["x509_ca"]
    assert Authorities(authority.file).context.cert_store_stats()["x509_ca"] == machines + 1
