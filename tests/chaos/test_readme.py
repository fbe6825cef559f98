"""What the README tells people to type works as it stands there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from suite_local.testing import running_suite

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
