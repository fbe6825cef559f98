"""``ordersctl login`` with a real OpenID provider: the device flow, from the code to a command that is let in."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.console.factories import opened
from tests.support.openid_provider.running import Provider, visiting

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Terminal:
    """Somebody's terminal, without a keyring."""

    provider: Provider
    config: Path

    async def begin(self, *words: str) -> asyncio.subprocess.Process:
        """Begin a command."""
        command = (sys.executable, "-m", "console.cli.app", *words)
        none = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring", "ORDERSCTL_CONFIG_DIR": str(self.config)}
        return await asyncio.create_subprocess_exec(
            *command, env={**os.environ, **none}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )

    async def run(self, *words: str) -> tuple[int | None, str]:
        """Run a command to its end."""
        process = await self.begin(*words)
        out, said = await process.communicate()
        return process.returncode, (out + said).decode()

    async def login(self, name: str, *, action: str = "accept") -> tuple[int | None, str]:
        """Log in, and answer at the provider as somebody."""
        process = await self.begin("login", "-p", "here")
        assert process.stderr is not None
        said = ""
        while not (code := re.search(r"enter (\S+)", said)):
            line = await process.stderr.readline()
            assert line, said
            said += line.decode()
        assert f"open {self.provider.issuer}/device/" in said
        async with visiting(self.provider) as visitor:
            await visitor.approve(code[1], name, action=action)
        out, more = await process.communicate()
        return process.returncode, said + (out + more).decode()

    @property
    def file(self) -> Path:
        """Where tokens are kept."""
        return self.config / "tokens" / "here.json"


@pytest_asyncio.fixture(loop_scope="module")
async def terminal(provider: Provider, tmp_path: Path) -> AsyncIterator[Terminal]:
    """A profile that names the provider."""
    async with AsyncExitStack() as stack:
        service = await opened(stack, provider, tmp_path)
        config = tmp_path / "ordersctl"
        config.mkdir()
        (config / "config.toml").write_text(
            f'''
            [profiles.here]
            url = "{service.url}"
            oidc = {{ issuer = "{provider.issuer}", client_id = "ordersctl", scope = "openid profile groups" }}
            [profiles.other]
            url = "{service.url}"
            '''
        )
        yield Terminal(provider, config)


async def test_a_login_lets_commands_in_until_the_logout(terminal: Terminal) -> None:
    code, said = await terminal.run("whoami", "-p", "here")
    assert (code, "ordersctl login -p here" in said) == (5, True)
    code, said = await terminal.login("anna")
    assert (code, "signed in as anna" in said) == (0, True), said
    assert stat.S_IMODE(terminal.file.stat().st_mode) == 0o600
    code, said = await terminal.run("whoami", "-p", "here", "-o", "json")
    assert code == 0
    assert {(each["name"], each["role"]) for each in json.loads(said)} == {("anna", "operator")}

    kept = json.loads(terminal.file.read_text())
    terminal.file.write_text(json.dumps({**kept, "until": 5}))
    both = await asyncio.gather(*(terminal.run("whoami", "-p", "here") for _ in range(2)))
    assert [code for code, _ in both] == [0, 0], both
    renewed = json.loads(terminal.file.read_text())
    assert renewed["refresh"] != kept["refresh"]
    assert renewed["access"] != kept["access"]
    assert stat.S_IMODE(terminal.file.stat().st_mode) == 0o600

    terminal.file.write_text(json.dumps({**kept, "until": 5}))
    code, said = await terminal.run("whoami", "-p", "here")
    assert (code, "nobody is signed in" in said) == (5, True), "a refresh token works once"
    code, said = await terminal.run("logout", "-p", "here")
    assert (code, terminal.file.exists()) == (0, False)
    code, _ = await terminal.run("whoami", "-p", "here")
    assert code == 5


async def test_a_login_that_is_denied_or_cannot_begin_ends_with_its_code(terminal: Terminal) -> None:
    code, said = await terminal.login("vera", action="deny")
    assert (code, "did not let you in: access_denied" in said) == (5, True)
    assert not terminal.file.exists()
    code, said = await terminal.run("login", "-p", "other")
    assert (code, "names no OpenID provider" in said) == (2, True)
    terminal.provider.stop()
    try:
        code, said = await terminal.run("login", "-p", "here")
        assert (code, "does not answer as a provider" in said) == (6, True)
    finally:
        await terminal.provider.start()
