"""TLS with a real server and real certificates: whom an address does not believe is told nothing, and a renewal mends it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import ConfigurationError
from common.postgres import Database, DatabaseNotTrusted, is_retryable, migrate, require_schema
from tests.support.servers import TestDatabases
from tests.support.tls_servers import TlsPostgres, running

SPEAKS_TLS = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.fixture(scope="module")
def server() -> Iterator[TlsPostgres]:
    """A server of these tests' own."""
    with running(TlsPostgres) as made:
        yield made


async def opened(dsn: str) -> Database:
    """A pool that has had no connection yet."""
    database = Database(dsn, application_name="tls", max_size=2)
    await database.open()
    return database


async def refusal(dsn: str) -> str:
    """Return why no connection can be had; each way to one is tried."""
    database = await opened(dsn)
    try:
        with pytest.raises(DatabaseNotTrusted) as caught:
            await database.check()
        with pytest.raises(DatabaseNotTrusted):
            async with database.session():
                pass
    finally:
        await database.close()
    assert (caught.value.code, is_retryable(caught.value)) == ("server_not_trusted", True)
    return caught.value.detail


async def test_a_service_and_its_migrations_speak_tls_to_a_server_that_they_believe(server: TlsPostgres) -> None:
    await migrate(server.dsn(), "notifier")
    database = await opened(server.dsn())
    await require_schema(database, "notifier")
    async with database.acquire() as connection:
        assert await connection.fetchval(SPEAKS_TLS)
    await database.close()


async def test_of_several_servers_the_one_that_can_be_reached_is_believed_too(server: TlsPostgres) -> None:
    dsn = server.dsn().replace("@127.0.0.1", "@127.0.0.1:1,127.0.0.1", 1)
    await migrate(dsn, "notifier")
    database = await opened(dsn)
    async with database.acquire() as connection:
        assert await connection.fetchval(SPEAKS_TLS)
    await database.close()


async def test_who_is_not_believed_is_refused_in_clear_words_until_it_is_mended(server: TlsPostgres) -> None:
    database = await opened(server.dsn())
    await database.check()
    assert "certificate is not believed: Hostname mismatch" in await refusal(server.dsn(host="localhost"))
    strangers = server.dsn(ca=server.stranger.file)
    assert "certificate is not believed: unable to get local issuer" in await refusal(strangers)
    assert "a file of certificates that its address names cannot be read" in await refusal(
        server.dsn(ca=server.stranger.file.with_name("none"))
    )
    assert "takes nobody without TLS" in await refusal(server.dsn(mode="disable"))
    with pytest.raises(ConfigurationError, match=r"a migration of notifier failed: .*certificate"):
        await migrate(strangers, "notifier")
    await server.renew(names=["elsewhere.example"])
    assert "certificate is not believed: IP address mismatch" in await refusal(server.dsn())
    await server.renew(server.stranger)
    assert "certificate is not believed: unable to get local issuer" in await refusal(server.dsn())
    await server.renew(expired=True)
    assert "certificate is not believed: certificate has expired" in await refusal(server.dsn())
    await database.check()  # which has a connection from before
    await server.renew()
    again = await opened(server.dsn())
    await again.check()
    for each in (again, database):
        await each.close()


async def test_whom_the_machine_believes_is_believed_when_no_file_is_named(
    server: TlsPostgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))  # as in a container
    for named in ("", "&sslrootcert=system"):
        dsn = server.dsn().partition("&")[0] + named
        assert "certificate is not believed" in await refusal(dsn)
        with monkeypatch.context() as machine:
            machine.setenv(ssl.get_default_verify_paths().openssl_cafile_env, str(server.authority.file))
            database = await opened(dsn)
            async with database.acquire() as connection:
                assert await connection.fetchval(SPEAKS_TLS)
            await database.close()


async def test_a_server_that_speaks_no_tls_is_told_nothing(databases: TestDatabases) -> None:
    async with databases.empty("plain") as dsn:
        assert "it speaks no TLS" in await refusal(f"{dsn}?sslmode=require")
