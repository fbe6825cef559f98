"""Which server is taken, under which account it runs, and what is said when there is none."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest

from suite_local.errors import InfrastructureMissingError
from suite_local.infrastructure import accounts, find, packages, rabbitmq, requirements
from suite_local.infrastructure.accounts import drop_command, server_account
from suite_local.infrastructure.postgres import PostgresBinaries
from suite_local.paths import RunDirectory

RUN = RunDirectory(Path("/nowhere"))


def test_an_address_in_the_environment_is_taken_before_anything_else() -> None:
    environ = {"SUITE_POSTGRES_DSN": "postgresql://a@b/c", "SUITE_AMQP_URL": "amqp://a@b/c"}

    postgres = find.find_postgres(RUN, environ, running=False)
    broker = find.find_rabbitmq(RUN, environ, running=False)

    assert [(each.kind, each.address, each.programs) for each in (postgres, broker)] == [
        ("given", "postgresql://a@b/c", ()),
        ("given", "amqp://a@b/c", ()),
    ]


def test_without_a_local_server_and_without_docker_one_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rabbitmq, "find_server_script", lambda: None)
    monkeypatch.setattr(find, "docker_answers", lambda: False)
    run = RunDirectory(tmp_path)
    run.create()

    with pytest.raises(InfrastructureMissingError, match=r"rabbitmq-server.*SUITE_AMQP_URL"):
        find.find_rabbitmq(run, {}, running=False)


def test_with_docker_alone_a_container_is_held_by_a_program_of_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rabbitmq, "find_server_script", lambda: None)
    monkeypatch.setattr(find, "docker_answers", lambda: True)
    run = RunDirectory(tmp_path)
    run.create()

    found = find.find_rabbitmq(run, {}, running=False)

    assert found.kind == "container"
    assert [(program.name, program.argv[1:]) for program in found.programs] == [
        ("rabbitmq", ("-m", "suite_local.infrastructure.containers", "rabbitmq"))
    ]
    assert all("password" not in word.lower() for word in found.programs[0].argv)


def test_an_ordinary_user_runs_servers_as_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert server_account("postgres") is None
    assert drop_command(server_account("postgres"), must_reach=(Path("/nowhere"),)) == []


def test_root_drops_to_the_first_account_that_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    account = server_account("no-such-account-here", "nobody")

    assert account is not None
    assert (account.name, account.uid) == ("nobody", pwd.getpwnam("nobody").pw_uid)


def test_a_capability_is_kept_only_when_the_account_cannot_reach_its_files_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account = accounts.Account("nobody", 65534, 65534)
    private = Path("/private")
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/setpriv")
    monkeypatch.setattr(
        accounts, "_can_reach", lambda command, path: path != private or any("dac_override" in word for word in command)
    )

    open_command = drop_command(account, must_reach=(Path("/usr"),))
    private_command = drop_command(account, must_reach=(Path("/usr"), private))

    assert open_command == ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    assert private_command[4:] == [
        "--securebits=+no_setuid_fixup",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    ]


def test_a_checkout_that_no_capability_reaches_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/setpriv")
    monkeypatch.setattr(accounts, "_can_reach", lambda command, path: False)

    with pytest.raises(InfrastructureMissingError, match=r"cannot reach /private.*SUITE_POSTGRES_DSN"):
        drop_command(accounts.Account("nobody", 65534, 65534), must_reach=(Path("/private"),))


def test_only_what_is_missing_is_installed_and_only_tests_want_edge_and_monitoring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requirements, "find_server_script", lambda: None)
    of_the_wheel = PostgresBinaries(Path("/wheel"), 18)  # which speaks no TLS
    monkeypatch.setattr(requirements, "find_binaries", lambda with_tls: None if with_tls else of_the_wheel)
    monkeypatch.setattr(shutil, "which", lambda name, path="": None)

    assert requirements.missing({}, for_tests=False) == ["rabbitmq-server"]
    assert requirements.missing({"SUITE_AMQP_URL": "amqp://a"}, for_tests=False) == []
    assert requirements.missing({"SUITE_AMQP_URL": "amqp://a"}, for_tests=True) == [
        "postgresql",
        "rabbitmq-server",
        "nginx",
        "openssl",
        "prometheus",
        "prometheus-alertmanager",
        "chromium",
    ]


def test_debian_is_asked_not_to_start_what_it_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def record(command: list[str]) -> subprocess.CompletedProcess[str]:
        commands.append(list(command))
        return subprocess.CompletedProcess(command, 100 if len(commands) == 1 else 0, "", "")

    monkeypatch.setattr(packages, "find_manager", lambda: packages.MANAGERS[0])
    monkeypatch.setattr(packages, "permission", lambda: ["sudo", "-n"])
    monkeypatch.setattr(packages, "_run", record)

    packages.install(["rabbitmq-server"])

    # Its lists were old: they are fetched, and it is asked again.
    assert ["install" in command for command in commands] == [True, False, True]
    assert commands[1][4:] == ["apt-get", "update"]
    assert commands[0] == commands[2]
    assert commands[0][:4] == ["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive"]
    assert any(word.startswith("DPkg::Path=") and "suite-setup-" in word for word in commands[0])


def test_who_may_not_install_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_manager", lambda: packages.MANAGERS[1])
    monkeypatch.setattr(packages, "permission", lambda: None)

    with pytest.raises(InfrastructureMissingError, match="dnf install postgresql-server"):
        packages.install(["postgresql"])
