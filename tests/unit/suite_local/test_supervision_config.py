"""The process manager's configuration as it is read back by supervisor itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from suite_local.errors import SuiteLocalError
from suite_local.paths import RunDirectory
from suite_local.programs import Program
from suite_local.supervision import render

JSON = '{"yk-": "yookassa"}'


def read_back(text: str, directory: Path) -> ServerOptions:
    """Let supervisor parse the text, as supervisord does at its start."""
    path = directory / "supervisord.conf"
    path.write_text(text)
    options = ServerOptions()
    options.realize(["-c", str(path)])
    return options


def program(directory: Path, name: str, **changes: object) -> Program:
    values: dict[str, object] = {"name": name, "argv": ("/bin/sleep", "60"), "directory": directory, **changes}
    return Program(**values)  # type: ignore[arg-type]  # a test's shorthand


def test_supervisor_reads_every_program_as_it_was_described(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.create()
    described = (
        program(tmp_path, "postgres", group="infrastructure", priority=10, stop_signal="INT", stop_wait_s=20),
        program(
            tmp_path,
            "tips",
            argv=("/usr/bin/env", "a word", "it's", "100%"),
            niceness=5,
            environment={"TIPS_POSTGRES_DSN": "postgresql://u:p%40x,y@h/d?a=b;c", "EMPTY": "", "JSON": JSON},
        ),
    )

    options = read_back(render(described, run), tmp_path)

    groups = {group.name: group for group in options.process_group_configs}
    assert set(groups) == {"infrastructure", "services", "suitejson"}
    (postgres,) = groups["infrastructure"].process_configs
    (tips,) = groups["services"].process_configs
    assert (postgres.stopsignal.name, postgres.stopwaitsecs, postgres.directory) == ("SIGINT", 20, str(tmp_path))
    assert tips.command == "nice -n 5 /usr/bin/env 'a word' 'it'\"'\"'s' 100%"
    assert postgres.command == "/bin/sleep 60"
    assert tips.environment == {"TIPS_POSTGRES_DSN": "postgresql://u:p%40x,y@h/d?a=b;c", "EMPTY": "", "JSON": JSON}
    assert groups["infrastructure"].priority < groups["services"].priority


def test_every_program_is_started_again_at_once_and_without_limit(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.create()

    options = read_back(render((program(tmp_path, "tips"),), run), tmp_path)

    (config,) = next(group for group in options.process_group_configs if group.name == "services").process_configs
    # Any end after 0 seconds is no failed start: no back-off, no giving up.
    assert (config.autostart, config.autorestart.__name__, config.startsecs) == (False, "RestartUnconditionally", 0)


@pytest.mark.parametrize("value", ['say "x"', "it's'", 'it\'s "x" there', "two\nlines", "a ;comment"])
def test_a_value_that_supervisor_would_misread_is_refused(tmp_path: Path, value: str) -> None:
    described = program(tmp_path, "tips", environment={"TIPS_X": value})

    with pytest.raises(SuiteLocalError):
        render((described,), RunDirectory(tmp_path))


def test_a_deep_run_directory_gets_its_control_socket_in_the_temporary_directory(tmp_path: Path) -> None:
    deep = RunDirectory(tmp_path / ("d" * 120))
    near = RunDirectory(Path("/srv/suite/.run"))

    assert near.supervisor_socket == Path("/srv/suite/.run/supervisor.sock")
    assert len(str(deep.supervisor_socket)) <= 100
    assert deep.supervisor_socket != RunDirectory(tmp_path / ("e" * 120)).supervisor_socket
