"""Which suite a command speaks to, and where its token comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from console.cli import profiles
from console.cli.exits import EndedError, Exit
from console.client.operations import SERVICES


def write(config: Path, text: str) -> None:
    (config / "config.toml").write_text(text)


def run_directory(where: Path) -> Path:
    where.mkdir(parents=True)
    described = {
        "services": {name: {"url": f"http://127.0.0.1:{port}"} for port, name in enumerate(SERVICES, 8081)},
        "tokens": {"viewer": "v", "operator": "o", "admin": "a"},
    }
    (where / "suite.json").write_text(json.dumps(described))
    return where


def test_the_suite_of_the_checkout_is_found_from_any_folder_in_it(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_directory(tmp_path / "checkout/.run")
    (tmp_path / "checkout/deep/er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "checkout/deep/er")
    found = profiles.chosen(None)
    assert (found.name, found.read_token(), set(found.services)) == ("local", "o", set(SERVICES))
    assert profiles.chosen("local-admin").read_token() == "a"
    assert "'o'" not in repr(found)


def test_a_half_written_description_of_a_suite_is_as_if_there_were_none(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_directory(tmp_path / "run").joinpath("suite.json").write_text('{"services": {')
    monkeypatch.setenv("SUITE_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.chdir(tmp_path)
    assert all(found.origin != tmp_path / "run/suite.json" for found in profiles.profiles().values())


def test_the_command_counts_before_the_environment_and_that_before_what_was_chosen(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(config, "".join(f'[profiles.{name}]\nurl = "https://{{service}}.{name}.example"\n' for name in "abc"))
    profiles.use("a")
    assert profiles.chosen(None).name == "a"
    monkeypatch.setenv("ORDERSCTL_PROFILE", "b")
    assert profiles.chosen(None).name == "b"
    found = profiles.chosen("c")
    assert found.services["notifier"] == "https://notifier.c.example"
    with pytest.raises(EndedError, match="there are: a, b, c"):
        profiles.chosen("d")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("url = 3", "is no address"),
        ("url = 'ftp://x'", "is no address"),
        ("services = { elsewhere = 'https://x' }", "no such service: elsewhere"),
        ("url = 'https://x'\ntokn = 1", "unknown: tokn"),
        ("url = 'https://x'\ntoken = 'secret'", "token: one of keyring, command, file, env"),
        ("url = 'https://x'\ntoken = { file = 'a', env = 'b' }", "token: one of"),
        ("url = ", "config.toml"),
    ],
)
def test_a_wrong_profile_is_named_with_what_is_wrong(config: Path, table: str, said: str) -> None:
    write(config, f"[profiles.wrong]\n{table}")
    with pytest.raises(EndedError, match=said) as refused:
        profiles.profiles()
    assert refused.value.code is Exit.USAGE


@pytest.mark.parametrize(
    ("token", "found"),
    [
        ("{ command = \"printf '%s ' tok\" }", "tok"),
        ('{ env = "MY_TOKEN" }', "from-env"),
        ('{ file = "FILE" }', "from-file"),
        ('{ command = "false" }', None),
        ('{ command = "/nowhere/at-all" }', None),
        ('{ env = "NOT_SET" }', None),
        ('{ file = "/nowhere" }', None),
        ("{}", None),
    ],
)
def test_a_token_comes_from_where_the_profile_says(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, found: str | None
) -> None:
    monkeypatch.setenv("MY_TOKEN", "from-env")
    (tmp_path / "kept").write_text("from-file\n")
    write(config, f"[profiles.one]\nurl = 'https://x'\ntoken = {token.replace('FILE', str(tmp_path / 'kept'))}")
    profile = profiles.chosen("one")
    if found is not None:
        assert profile.read_token() == found
        return
    with pytest.raises(EndedError) as refused:
        profile.read_token()
    assert refused.value.code is Exit.NO_RIGHT


def test_a_token_is_kept_in_the_keyring_and_found_there(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring
    from keyring.backend import KeyringBackend

    class Memory(KeyringBackend):
        priority = 1
        kept: dict[tuple[str, str], str] = {}  # noqa: RUF012 - one for the test

        def get_password(self, service: str, username: str) -> str | None:
            return self.kept.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            self.kept[service, username] = password

    before = keyring.get_keyring()
    keyring.set_keyring(Memory())  # type: ignore[no-untyped-call] # keyring's own constructor has no types
    try:
        write(config, "[profiles.one]\nurl = 'https://x'\ntoken = { keyring = 'anna' }")
        with pytest.raises(EndedError, match="keyring anna"):
            profiles.chosen("one").read_token()
        profiles.store_token(profiles.chosen("one"), "tok")
        assert profiles.chosen("one").read_token() == "tok"
    finally:
        keyring.set_keyring(before)
