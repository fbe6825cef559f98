"""What the README tells people to type works as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from suite_local.testing import running_suite
from tests.support.suite_client import environment_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]  # it starts a suite of its own

ROOT = Path(__file__).parents[2]


def test_five_minutes_of_the_readme_do_what_they_say(tmp_path: Path) -> None:
    """In a folder that looks like the repository's root, with a suite that is up already: everything from the first `suite` on."""
    text = (ROOT / "README.md").read_text().split("## Five minutes")[1]
    lost, mine = (
        block.replace("make up\n", "") for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    )
    run = tmp_path / ".run"
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    with running_suite(run):
        script = f"set -e\n{lost}\n{mine}"
        ran = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=400)
    told = ran.stdout + ran.stderr
    assert ran.returncode == 0, told
    assert re.search(r"\d+ received = \d+ confirmed \+ [1-9]\d* spooled \+ 0 quarantined \+ 0 refused", told), told
    assert told.count("nothing is lost") == 2, told
    assert '"status":422' in told, told
    assert "✋ Занимается: Анна" in told, told


def test_the_trouble_to_practise_on_is_there_and_its_commands_work(tmp_path: Path) -> None:
    """Each command that `practise` prints, as it prints it; a change is answered yes."""
    environment = environment_for(tmp_path / ".run")
    with running_suite(tmp_path / ".run"):

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)

        made = run(sys.executable, "-m", "suite_local", "practise")
        assert made.returncode == 0, made.stderr
        lines = made.stdout.splitlines()
        assert lines[0].startswith("order "), "nothing but what it made"
        commands = [found for line in lines for found in re.findall(r"(?<!`)ordersctl [^,`]+?(?=  |,|$)", line)]
        told = {}
        for command in commands:
            changes = "--wait" in command
            options = ["--yes", "--reason", "to practise"] if changes else []
            ended = told[command] = run(str(ROOT / ".venv/bin/ordersctl"), *command.split()[1:], *options)
            needs_somebody = command.removeprefix("ordersctl ").startswith(("status", "workflow retry"))
            assert ended.returncode == needs_somebody, (command, ended.stderr)
        said = {command: ended.stdout + ended.stderr for command, ended in told.items()}
    assert len(said) == 7, commands
    late, refund, retried, workflow, endangered, status, incidents = said.values()
    assert "Telegram answered 5xx" in late
    assert "SUCCESS" in refund
    assert "crashed" in retried + workflow
    assert "UnreadableHook" in workflow
    assert "new" in endangered or "open" in endangered
    assert "incident" in status + incidents
