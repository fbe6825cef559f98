"""Every place where personal data may lie is on its page, or declared to hold none: a new column, queue or file has to say which."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Awaitable, Callable, Mapping, Set
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import asyncpg
import pytest

from common.messaging import topology
from common.service import Subject
from common.service.settings import ProcessSettings
from console.web.settings import ConsoleSettings
from notifier.erase import PLACES as NOTIFIER
from notifier.settings import NotifierSettings
from orchestrator.erasures.places import erase_subject as of_orchestrator
from orchestrator.settings import OrchestratorSettings
from refunds.erase import PLACES as REFUNDS
from refunds.settings import RefundsSettings
from tests.support.personal_data import PAGE, code, listed, sections
from tips.settings import TipsSettings
from webhook_gateway.erase import places as of_gateway
from webhook_gateway.settings import Settings as GatewaySettings

NONE = tomllib.loads((Path(__file__).parent / "places_without_people.toml").read_text(encoding="utf-8"))
COMMON = "Every service"
SETTINGS: tuple[type[ProcessSettings], ...] = (
    GatewaySettings, OrchestratorSettings, TipsSettings, RefundsSettings, NotifierSettings, ConsoleSettings,
)  # fmt: skip
ENDS = {
    "a day",
    "a day after the ban's end",
    "a day after the last",
    "as long as nginx's own rotation keeps them",
    "as the delivery",
    "as the letter; until the message is handled",
    "as their rows",
    "for good",
    "for good: a line is never changed but for this",
    "for good: a record of money",
    "for good: a record of money; as the document; as its events",
    "milliseconds; while a service is away until it is back",
    "milliseconds; while its service is away until it is back",
    "milliseconds; while the broker is away until it is back",
    "seven days",
    "the platform's own rotation",
    "two days",
    "until changed",
    "until it is carried out or its events go",
}
"""Why something that no setting ends is kept so long: each of these is said by a row, and a new one has to be thought about here."""
_EMPTY: Any = AsyncMock(**{"fetch.return_value": [], "execute.return_value": "DELETE 0"})
"""A database without anything."""

KINDS: Mapping[str, Set[str]] = {
    "webhook-gateway": set(of_gateway(SimpleNamespace(), SimpleNamespace())),  # type: ignore[arg-type] # only its kinds are read
    "orchestrator": set(asyncio.run(of_orchestrator(_EMPTY, Subject(order_number="nobody's")))),
    "refunds": set(REFUNDS),
    "notifier": set(NOTIFIER),
}
# What may hold a text, a document or bytes; numbers, times and ids of our own making cannot say who somebody is.
_COLUMNS = """
SELECT c.relname || '.' || a.attname
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_type AS t ON t.oid = a.atttypid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relname <> 'schema_migrations' AND a.attnum > 0 AND NOT a.attisdropped
  AND (t.typcategory IN ('S', 'A', 'I', 'E') OR t.typname IN ('json', 'jsonb', 'bytea', 'xml'))
"""


def without(section: str) -> set[str]:
    """The columns that are declared to hold none."""
    return {f"{table}.{column}" for table, columns in NONE[section].items() for column in columns.split()}


@pytest.mark.parametrize("service", KINDS)
async def test_a_column_is_on_the_page_or_declared_to_hold_none(
    service: str, database_for: Callable[[str], Awaitable[str]]
) -> None:
    connection: Any = await asyncpg.connect(await database_for(service.replace("-", "_")))
    try:
        there = {row[0] for row in await connection.fetch(_COLUMNS)}
    finally:
        await connection.close()
    known = listed(service) | listed(COMMON)
    declared = without(service) | without(COMMON)
    assert there - known - declared == set(), (
        f"say in {PAGE.name} what it holds of whom, or in places_without_people.toml"
    )
    assert (known | declared) - there == set(), "known places that are gone"
    assert known & declared == set()


@pytest.mark.parametrize("service", KINDS)
def test_the_page_names_what_an_erasure_blanks_and_nothing_else(service: str) -> None:
    blanked = code([row[3] for row in [*sections()[service], *sections()[COMMON]]])
    assert blanked == KINDS[service]


def test_the_page_knows_every_queue_of_the_suite() -> None:
    assert listed("Broker") == {queue.name for queue in topology.QUEUES} | {topology.DEAD_LETTERS}


def test_every_file_and_folder_of_a_setting_is_known() -> None:
    known = listed("Files") | set(NONE["files"])
    files = {
        f"{settings.model_config.get('env_prefix')}{name.upper()}"
        for settings in SETTINGS
        for name, field in settings.model_fields.items()
        if field.annotation in (Path, Path | None)
    }
    suffixes = tuple(each.removeprefix("…") for each in known if each.startswith("…"))
    assert {each for each in files if each not in known and not each.endswith(suffixes)} == set()
    assert {each for each in known if "_" in each and not each.startswith("…")} - files == set()


def defaults_of(name: str) -> set[Any]:
    """The defaults of every setting of this name; without its prefix (``…_AUDIT_DAYS``) of each service that has it."""
    return {
        field.default
        for settings in SETTINGS
        for field_name, field in settings.model_fields.items()
        if fits(f"{settings.model_config.get('env_prefix')}{field_name.upper()}", name)
    }


def fits(setting: str, name: str) -> bool:
    """Whether this is the setting that the page names."""
    return setting == name or (name.startswith("…") and setting.endswith(name.removeprefix("…")))


def retentions() -> list[tuple[str, str, str]]:
    """How long every row of the page says that it is kept: its section, its places, and what it says."""
    return [(name, row[0], row[2]) for name, rows in sections().items() for row in rows]


def test_every_row_of_the_page_says_by_what_setting_or_for_what_reason_it_ends() -> None:
    rows = retentions()
    assert {name for name, _, _ in rows} == {COMMON, *KINDS, "Broker", "Files"}
    before = ""
    for section, places, said in rows:
        if said == "the same":
            assert before == section, f"{places}: the same as what?"
        else:
            assert code([said]) or said in ENDS, f"{places}: neither a setting nor a known reason: {said}"
        assert all(defaults_of(name) for name in code([said])), f"{places}: a setting that nobody has: {said}"
        before = section
    assert {said for _, _, said in rows} >= ENDS, "reasons that no row gives any more"


def test_every_number_of_days_on_the_page_is_the_settings_own_default() -> None:
    for _, places, said in retentions():
        days = re.findall(r"`([A-Z…_]+_DAYS)`(?: \((\d+)\b)?", said)
        assert [name for name, _ in days] == [name for name in re.findall(r"`([^`]+)`", said) if name.endswith("_DAYS")]
        for name, value in days:
            assert value, f"{places}: how many days is {name}?"
            assert defaults_of(name) == {float(value)}, f"{places}: {name}"
