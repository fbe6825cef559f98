"""The operators' page about backups names nothing that there is not, and both languages give the same commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from console.cli.tab import TABLE
from refunds.differences.model import DifferenceKind
from suite_local.backups.databases import FOLLOWER
from suite_local.paths import repository_root

ROOT = repository_root()
PAGES = (ROOT / "docs" / "backup.md", ROOT / "docs" / "backup.ru.md")
LEDGER = ROOT / "services/webhook-gateway/src/webhook_gateway/deliveries"


def commands(page: Path) -> list[str]:
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def words_in_code(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8").replace("```", ""))


def test_both_languages_give_the_same_commands_and_names() -> None:
    english, russian = PAGES
    assert commands(english) == commands(russian)
    assert sorted(words_in_code(english)) == sorted(words_in_code(russian))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_the_page_is_there(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = [*commands(page), *words_in_code(page)]
    for line in named:
        for target, rest in re.findall(r"make (\w+)(.*)", line):
            assert f"\n{target}: " in makefile, line
            assert all(
                f"$({variable})" in makefile or f"$(if $({variable})" in makefile
                for variable in re.findall(r"([A-Z]+)=", rest)
            ), line
    commands_there = {re.split(r" [-@<]", line)[0] for line in Path(TABLE).read_text(encoding="utf-8").splitlines()}
    said = {line.removeprefix("ordersctl ").partition(" --")[0] for line in named if line.startswith("ordersctl ")}
    assert said
    assert said <= commands_there, said
    assert any(FOLLOWER in line for line in named)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_finding_on_the_page_is_one_that_a_checker_names(page: Path) -> None:
    said = " ".join(path.read_text(encoding="utf-8") for path in LEDGER.glob("*.py"))
    kinds = {word for word in words_in_code(page) if re.fullmatch(r"[a-z]+(_[a-z]+)+", word)} - {
        "audit_chain_holds",
        "pg_basebackup",
        "pg_dump",
        "pg_receivewal",
    }
    assert "acknowledged_and_lost" in kinds
    assert {kind for kind in kinds if f'"{kind}"' not in said} == {DifferenceKind.UNKNOWN_TO_US.value}
    assert '"--acknowledged"' in said
